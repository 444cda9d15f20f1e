"""Stored answers: who gets them, for how long, and what a replay refuses."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrl.errors import ConfigError, DataError
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.sources import open_searcher
from agentrl.tools.search.web import web_backend
from agentrl.tools.search.web.cache import CacheMode, ResponseCache, cache_key
from agentrl.tools.search.web.exchange import Request
from agentrl.tools.search.web.http import RetryPolicy
from agentrl.tools.search.web.search import WebSearch
from tests.tools.search.web_answers import KEY, KEYS, Service, Time, client_of

ROW = {"title": "A", "url": "https://a.org"}
GOOD = httpx.Response(200, json={"results": [ROW]})
EMPTY = httpx.Response(200, json={"results": []})
REQUEST = Request(method="GET", url="https://a.org", params={"q": "x"})


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, KEY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "answers.sqlite"


def ask(cache: ResponseCache, service: Service, *queries: str, backend: str = "tavily") -> Any:
    async def asked() -> list[Any]:
        client = client_of(service, policy=RetryPolicy(tries=1))
        search = WebSearch(web_backend(backend), client=client, cache=cache)
        try:
            return [await search.search(query, 3) for query in queries]
        finally:
            await search.close()

    return asyncio.run(asked())


def test_an_answer_is_asked_for_once_and_outlives_the_process(path):
    service = Service([GOOD])
    first = ask(ResponseCache(path), service, "alien", "alien", "  alien ")
    again = ask(ResponseCache(path), service, "alien")
    assert len(service.requests) == 1
    assert first == again * 3 and first[0][0].title == "A"


def test_only_space_is_normalised():
    def key(query: str) -> str:
        return cache_key("tavily", web_backend("tavily").request(query, 3))

    assert len({key(query) for query in ("C++", "c", "C", "c++", "C ++")}) == 5


def test_different_queries_counts_and_services_have_answers_of_their_own(path):
    service = Service([GOOD])
    ask(ResponseCache(path), service, "C++", "c", "C++")
    assert len(service.requests) == 2
    ask(ResponseCache(path), service, "c", backend="searxng")
    assert len(service.requests) == 3
    requests = [web_backend("tavily").request("a", k) for k in (3, 5)]
    assert len({cache_key("tavily", request) for request in requests}) == 2


def test_failures_are_not_stored(path):
    service = Service([httpx.Response(500), GOOD])
    with pytest.raises(SearchFailure):
        ask(ResponseCache(path), service, "alien")
    assert ask(ResponseCache(path), service, "alien")[0]


@pytest.mark.parametrize(("ttl", "seconds"), [(60.0, 60), (None, None)])
def test_answers_count_for_their_time(path, ttl, seconds):
    time = Time()
    cache = ResponseCache(path, ttl=ttl, clock=time)
    cache.put("tavily", REQUEST, "answer", empty=False)
    time.now += (seconds or 10**9) - 1
    assert cache.get("tavily", REQUEST) == "answer"
    time.now += 1
    assert cache.get("tavily", REQUEST) == (None if seconds else "answer")
    cache.close()


def test_that_nothing_was_found_counts_for_ten_minutes(path):
    time, service = Time(), Service([EMPTY, GOOD])
    assert ask(ResponseCache(path, clock=time), service, "alien", "alien") == [[], []]
    time.now += 599
    assert ask(ResponseCache(path, clock=time), service, "alien") == [[]]
    time.now += 1
    assert ask(ResponseCache(path, clock=time), service, "alien")[0]
    assert len(service.requests) == 2


def test_a_replay_needs_no_key_takes_old_answers_and_refuses_a_miss(path, monkeypatch):
    time = Time()
    ask(ResponseCache(path, clock=time), Service([GOOD]), "alien")
    monkeypatch.delenv("TAVILY_API_KEY")
    time.now += 10**9
    replay = ResponseCache(path, CacheMode.READ_ONLY, ttl=1.0, clock=time)
    service = Service([GOOD])
    with pytest.raises(SearchFailure) as caught:
        ask(replay, service, "alien", "predator")
    assert caught.value.kind is FailureKind.REPLAY
    assert service.requests == []


def test_there_must_be_something_to_replay(path):
    with pytest.raises(DataError, match="no stored answers"):
        ResponseCache(path, CacheMode.READ_ONLY)
    with pytest.raises(ConfigError, match="names no file"):
        open_searcher("tavily", cache_mode="read_only")
    with pytest.raises(ConfigError, match="one of off, read_write, read_only"):
        open_searcher("tavily", cache_mode="sometimes")


def test_a_cache_that_is_off_makes_no_file(path):
    service = Service([GOOD])
    ask(ResponseCache(path, CacheMode.OFF), service, "alien", "alien")
    assert len(service.requests) == 2 and not path.parent.exists()


@pytest.mark.parametrize("mode", ["read_write", "read_only"])
def test_a_file_that_is_no_cache_is_refused(tmp_path, mode):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one " * 50)
    with pytest.raises(DataError, match="cannot be used"):
        ResponseCache(path, CacheMode(mode))


@pytest.mark.parametrize("backend", ["serper", "brave", "tavily", "serpapi"])
def test_the_key_is_never_stored_even_if_the_service_repeats_it(path, backend):
    row = ROW | {"link": "https://a.org", "snippet": f"your key is {KEY}"}
    answer = {"results": [row], "organic": [row], "organic_results": [row]}
    service = Service([httpx.Response(200, json=answer)])
    ask(ResponseCache(path), service, "alien", backend=backend)
    files = [file.read_bytes() for file in path.parent.iterdir()]
    assert any(b"your key is ***" in content for content in files)
    assert not any(KEY.encode() in content for content in files)


def test_many_threads_and_connections_write_one_file(path):
    caches = [ResponseCache(path) for _ in range(4)]

    def write(number: int) -> None:
        for i in range(25):
            request = Request(method="GET", url="u", params={"q": f"{number}-{i}"})
            caches[number % 4].put("tavily", request, "answer", empty=False)
            assert caches[(number + 1) % 4].get("tavily", request) == "answer"

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for cache in caches:
        cache.close()
    file = sqlite3.connect(path)
    assert file.execute("SELECT count(*) FROM answers").fetchone() == (200,)
    assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    file.close()
