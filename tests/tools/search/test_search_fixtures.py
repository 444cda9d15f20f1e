"""Recorded answers of search services: requests, hits and failures are the expected ones."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrl.tools.search.client import RetrieveClient
from agentrl.tools.search.failure import SearchFailure
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.web import web_backend
from agentrl.tools.search.web.http import RetryPolicy
from agentrl.tools.search.web.search import WebSearch
from tests.tools.search.web_answers import KEYS, Service, client_of

FOLDER = Path(os.environ.get("AGENTRL_SHARED", Path(__file__).resolve().parents[4] / "shared"))
FILES = sorted((FOLDER / "data" / "search_fixtures").glob("*.json"))
FILES = [path for path in FILES if not path.name.startswith("jina_reader.")]
ONCE = RetryPolicy(tries=1)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, "KEY")
    monkeypatch.delenv("SEARXNG_URL", raising=False)


def test_there_are_fixtures(shared: Path) -> None:
    assert len(FILES) == 24


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_answer_is_read_as_expected(path: Path) -> None:
    fixture = json.loads(path.read_text())
    service = Service([response_of(fixture["response"])])
    outcome = asyncio.run(outcome_of(fixture, service))
    expected = fixture["expected"]
    if isinstance(expected, dict):
        assert isinstance(outcome, SearchFailure)
        assert outcome.kind == expected["error"]
        assert outcome.retry is expected["retry"]
        assert expected.get("wait_s") in (None, outcome.wait)
    else:
        assert_hits(outcome, expected)
    assert_asked(service.requests[0], fixture["request"])


async def outcome_of(fixture: Mapping[str, Any], service: Service) -> Any:
    asked = fixture["request"]
    client = client_of(service, policy=ONCE)
    try:
        if fixture["backend"] == "retrieval":
            retrieve = RetrieveClient(asked["url"], client=client)
            queries = asked["json"].get("queries") or [asked["json"]["query"]]
            return await retrieve.search_many(queries, asked["json"].get("topk", 3))
        terms = {**asked.get("params", {}), **asked.get("json", {})}
        k = int(terms.get("num") or terms.get("count") or terms.get("max_results") or 3)
        search = WebSearch(web_backend(fixture["backend"]), client=client)
        return await search.search(terms.get("q") or terms["query"], k)
    except SearchFailure as failure:
        return failure
    finally:
        await client.close()


def response_of(answer: Mapping[str, Any]) -> httpx.Response:
    body = {"json": answer["json"]} if "json" in answer else {"text": answer["text"]}
    return httpx.Response(answer["status"], headers=answer.get("headers"), **body)


def assert_hits(found: Any, expected: Any) -> None:
    if expected and isinstance(expected[0], list):
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            assert_hits(mine, theirs)
        return
    assert [described(hit, row) for hit, row in zip(found, expected, strict=True)] == expected


def described(hit: SearchHit, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a hit that a fixture names, as it names them."""
    extra = {"id": hit.extra.get("id"), "extra": hit.extra.get("snippets")}
    return {name: extra[name] if name in extra else getattr(hit, name) for name in row}


def assert_asked(request: httpx.Request, asked: Mapping[str, Any]) -> None:
    """Assert that a request says all that the recorded one does; ours always asks for scores."""
    assert request.method == asked["method"]
    assert str(request.url.copy_with(query=None)) == asked["url"]
    for name, value in asked.get("headers", {}).items():
        assert request.headers[name] == value
    for name, value in asked.get("params", {}).items():
        assert request.url.params[name] == str(value)
    ours = json.loads(request.content) if request.content else {}
    theirs = {**asked.get("json", {}), **({"return_scores": True} if "queries" in ours else {})}
    if "query" in theirs and "queries" in ours:
        theirs["queries"] = [theirs.pop("query")]
    assert {name: ours[name] for name in theirs} == theirs


def test_a_fixture_that_differs_is_noticed(keys: None) -> None:
    hit = SearchHit(title="A", snippet="b", url="https://example.org")
    with pytest.raises(AssertionError):
        assert_hits([hit], [{"title": "B"}])
