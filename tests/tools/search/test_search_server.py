"""The server of the Search-R1 protocol, over a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrl.errors import ConfigError
from agentrl.tools.search.client import RetrieveClient
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.index import Bm25Index
from agentrl.tools.search.passages import Passage
from agentrl.tools.search.searcher import LocalSearcher
from agentrl.tools.search.server import served
from agentrl.tools.search.sources import open_searcher
from agentrl.tools.search.web.http import RetryPolicy, WebClient

WORDS = [f"word{number}" for number in range(40)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Bm25Index:
    texts = [f'"T{n}"\nall {word} ' + "filler " * n for n, word in enumerate(WORDS)]
    passages = [Passage(id=str(n), contents=text) for n, text in enumerate(texts)]
    return Bm25Index.build(passages, tmp_path_factory.mktemp("server") / "index")


@pytest.fixture(scope="module")
def url(index: Bm25Index) -> Iterator[str]:
    with served(LocalSearcher(index), topk=3) as address:
        yield address


def post(url: str, body: Any) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=30) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(f"{url}/retrieve", content=content)


def test_a_list_of_queries_gives_the_rows_of_the_corpus_with_scores(url, index):
    body = {"queries": ["word7", "word9", "zzz"], "topk": 2, "return_scores": True}
    first, second, nothing = post(url, body).json()["result"]
    row = {"id": "7", "contents": index.passages[7].contents}
    assert first[0] == {"document": row, "score": pytest.approx(index.search("word7", 1)[0].score)}
    assert second[0]["document"]["id"] == "9" and nothing == []


def test_a_single_query_is_answered_as_a_list_of_one(url):
    both = [
        post(url, {name: value}).json() for name, value in [("query", "all"), ("queries", ["all"])]
    ]
    assert both[0] == both[1] and len(both[0]["result"]) == 1


@pytest.mark.parametrize("queries", [["word1"], ["word1", "word2"], ["word1", "word2", "word3"]])
def test_without_scores_documents_are_not_wrapped_for_any_number_of_queries(url, queries):
    result = post(url, {"queries": queries, "return_scores": False}).json()["result"]
    assert [rows[0]["id"] for rows in result] == [query.removeprefix("word") for query in queries]
    assert result == post(url, {"queries": queries}).json()["result"]


@pytest.mark.parametrize("topk", [None, 0])
def test_no_topk_means_the_server_s_own(url, topk):
    assert len(post(url, {"queries": ["all"], "topk": topk}).json()["result"][0]) == 3
    assert len(post(url, {"queries": ["all"], "topk": 5}).json()["result"][0]) == 5


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        [],
        {},
        "text",
        {"queries": "text"},
        {"queries": [1]},
        {"query": ["text"]},
        {"queries": None},
        {"queries": ["x"], "topk": "3"},
        {"queries": ["x"], "topk": -1},
        {"queries": ["x"], "topk": True},
        {"queries": ["x"], "topk": 10**9},
        {"queries": ["x"], "return_scores": "yes"},
        {"queries": ["x"] * 2000},
    ],
    ids=str,
)
def test_junk_is_refused_with_422(url, body):
    response = post(url, body)
    assert response.status_code == 422
    [problem] = response.json()["detail"]
    assert problem["loc"][0] == "body" and problem["msg"]


def test_sixteen_clients_at_once_get_their_own_answers(url):
    def ask(client: int) -> bool:
        with httpx.Client(trust_env=False, timeout=60) as http:
            for turn in range(20):
                number = (client * 7 + turn) % len(WORDS)
                body = {"queries": [WORDS[number]], "topk": 1, "return_scores": True}
                [[hit]] = http.post(f"{url}/retrieve", json=body).json()["result"]
                if hit["document"]["id"] != str(number):
                    return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(16)))


def test_our_client_gets_what_the_index_gives(url, index):
    async def asked() -> tuple[Sequence[SearchHit], list[list[SearchHit]]]:
        client = open_searcher(f"{url}/retrieve/")
        assert isinstance(client, RetrieveClient)
        try:
            return await client.search("word3 all", 4), await client.search_many(["all", "zzz"], 2)
        finally:
            await client.close()

    hits, (some, none) = asyncio.run(asked())
    local = index.search("word3 all", 4)
    assert [(hit.title, hit.snippet, hit.extra) for hit in hits] == [
        (hit.title, hit.snippet, hit.extra) for hit in local
    ]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in local])
    assert len(some) == 2 and none == []


class Pages:
    """A searcher of the web whose service is down for one query."""

    name = "pages"

    def __init__(self) -> None:
        self.closed = False

    async def search(self, query: str, k: int) -> list[SearchHit]:
        if query == "down":
            raise SearchFailure(FailureKind.SERVER, self.name, 500)
        hit = SearchHit(title="A", snippet="b", url="https://a.org", date="2024", source=self.name)
        return [hit] * k

    async def close(self) -> None:
        self.closed = True


def test_pages_keep_their_address_and_a_failure_is_a_failure_of_the_server():
    async def asked(url: str) -> Sequence[SearchHit]:
        client = RetrieveClient(url, client=WebClient(policy=RetryPolicy(tries=1)))
        try:
            with pytest.raises(SearchFailure) as caught:
                await client.search("down", 1)
            assert caught.value.kind is FailureKind.SERVER and caught.value.status == 503
            return await client.search("alien", 2)
        finally:
            await client.close()

    pages = Pages()
    with served(pages) as url:
        hits = asyncio.run(asked(url))
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"{url}/health").json() == {"backend": "pages", "topk": 3}
    assert pages.closed
    assert [(hit.title, hit.snippet, hit.url, hit.date) for hit in hits] == [
        ("A", "b", "https://a.org", "2024")
    ] * 2


@pytest.mark.parametrize("result", [None, [], [[], []], {"a": 1}, [[1]], [["x"]], [None]])
def test_an_answer_that_does_not_fit_the_queries_is_no_answer(result):
    async def asked() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"result": result}))
        async with WebClient(transport=transport) as client:
            await RetrieveClient("http://127.0.0.1:1", client=client).search("a", 1)

    with pytest.raises(SearchFailure, match="bad_json"):
        asyncio.run(asked())


def test_what_is_no_source_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing to search in"):
        open_searcher(tmp_path / "none.jsonl")


def test_an_answer_does_not_wait_for_the_client_s_acknowledgement(url):
    # Where it does (Nagle's algorithm with delayed acknowledgements), every answer takes 40 ms.
    body, seconds = {"queries": ["word1"]}, []
    with httpx.Client(trust_env=False, timeout=30) as client:
        for _ in range(30):
            start = time.perf_counter()
            client.post(f"{url}/retrieve", json=body).raise_for_status()
            seconds.append(time.perf_counter() - start)
    assert min(seconds[10:]) < 0.03
