"""SearXNG, a meta search engine that one runs oneself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from agentrl.tools.base import JSON
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.web.exchange import Credentials, Request, Response, usual_failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Searxng:
    """An instance whose settings list `json` under `search.formats`; it needs no key.

    Attributes:
        url: of the instance; by default SEARXNG_URL, else port 8080 of this machine.
        language: of the results.
    """

    name: ClassVar[str] = "searxng"
    rate: ClassVar[float] = 10.0
    url: str = ""
    language: str = "en"

    def request(self, query: str, k: int) -> Request:
        """Return the request; how many hits come cannot be chosen."""
        base = self.url or os.environ.get("SEARXNG_URL") or "http://127.0.0.1:8080"
        return Request(
            method="GET",
            url=f"{base.rstrip('/')}/search",
            params={"q": query, "format": "json", "language": self.language, "pageno": "1"},
        )

    def credentials(self) -> Credentials:
        """Return nothing."""
        return Credentials()

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why there is no answer; nothing found while engines are down is a failure."""
        if response.status == 403:
            return SearchFailure(FailureKind.CONFIG, self.name, response.status)
        if failure := usual_failure(response, self.name):
            return failure
        if not response.data.get("results") and response.data.get("unresponsive_engines"):
            return SearchFailure(FailureKind.UPSTREAM, self.name, response.status)
        return None

    def hits(self, data: JSON) -> Iterator[SearchHit]:
        """Yield the results."""
        for row in data.get("results") or []:
            yield SearchHit(
                title=row.get("title") or "",
                url=row.get("url"),
                snippet=row.get("content") or "",
                date=row.get("publishedDate"),
                score=row.get("score"),
                source=self.name,
            )
