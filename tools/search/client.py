"""Asks a server of the Search-R1 protocol, ours or another one.

Source of the protocol: PeterGriffinJin/Search-R1:search_r1/search/retrieval_server.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentrl.tools.base import JSON
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.hit import SearchHit, split_contents
from agentrl.tools.search.web.exchange import (
    Credentials,
    Request,
    Response,
    read_hits,
    usual_failure,
)
from agentrl.tools.search.web.http import WebClient

NAME = "retrieve"
_RATE = 1000.0
"""Requests a second; the server is one's own."""


class RetrieveClient:
    """A `Searcher` that posts to `/retrieve`.

    Scores are always asked for: the original server fails without (its handler unpacks two values
    from a plain list).  Answers with and without scores are understood.

    Args:
        url: of the server, with or without `/retrieve`.
        client: shared with other back ends; by default one of its own.
    """

    name = NAME
    rate = _RATE

    def __init__(self, url: str, *, client: WebClient | None = None) -> None:
        self.url = f"{url.rstrip('/').removesuffix('/retrieve')}/retrieve"
        self._client = client or WebClient()

    async def search(self, query: str, k: int) -> Sequence[SearchHit]:
        """Return at most k hits of one query."""
        return (await self.search_many([query], k))[0]

    async def search_many(self, queries: Sequence[str], k: int) -> list[list[SearchHit]]:
        """Return at most k hits of every query, in one request.

        Raises:
            SearchFailure: there is no answer.
        """
        body = {"queries": list(queries), "topk": k, "return_scores": True}
        request = Request(method="POST", url=self.url, body=body)
        response = await self._client.send(self, request)
        result = response.data.get("result")
        if not isinstance(result, list) or len(result) != len(queries):
            raise SearchFailure(FailureKind.BAD_JSON, self.name, response.status)
        return [read_hits(hits(rows), self.name)[:k] for rows in result]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def credentials(self) -> Credentials:
        """Return nothing; the protocol has no keys."""
        return Credentials()

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why a response is no answer."""
        return usual_failure(response, self.name)


def hits(rows: Sequence[JSON]) -> Iterator[SearchHit]:
    """Yield the hits of one query; documents come with a score around them or without."""
    for row in rows:
        wrapped = "document" in row
        document = row["document"] if wrapped else row
        if hit := _hit(document, row.get("score") if wrapped else None):
            yield hit


def _hit(document: JSON, score: float | None) -> SearchHit | None:
    """Return a hit; None for a document without contents."""
    contents = str(document.get("contents") or "")
    title, text = split_contents(contents)
    if "text" in document:
        title, text = document.get("title") or title, document["text"]
    if not contents and not text:
        return None
    return SearchHit(
        title=title,
        snippet=text,
        url=document.get("url"),
        date=document.get("date"),
        score=score,
        source=NAME,
        extra={name: document[name] for name in ("id", "contents") if name in document},
    )
