"""Tavily, a search service for agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from agentrl.tools.base import JSON
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.web.exchange import (
    Credentials,
    Request,
    Response,
    key_from,
    usual_failure,
)

_MOST = 20
"""Hits that one request may ask for."""

_PLAN_LIMITS = (432, 433)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tavily:
    """The key is read from TAVILY_API_KEY.

    Attributes:
        depth: `basic` or, at twice the price, `advanced`.
    """

    name: ClassVar[str] = "tavily"
    rate: ClassVar[float] = 10.0
    depth: str = "basic"

    def request(self, query: str, k: int) -> Request:
        """Return the request for about k hits."""
        return Request(
            method="POST",
            url="https://api.tavily.com/search",
            body={
                "query": query,
                "max_results": min(k, _MOST),
                "search_depth": self.depth,
                "include_raw_content": False,
            },
        )

    def credentials(self) -> Credentials:
        """Return the key."""
        key = key_from("TAVILY_API_KEY", self.name)
        return Credentials(headers={"Authorization": f"Bearer {key}"})

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why there is no answer."""
        if response.status in _PLAN_LIMITS:
            return SearchFailure(FailureKind.QUOTA, self.name, response.status)
        return usual_failure(response, self.name)

    def hits(self, data: JSON) -> Iterator[SearchHit]:
        """Yield the results."""
        for row in data.get("results") or []:
            yield SearchHit(
                title=row.get("title") or "",
                url=row.get("url"),
                snippet=row.get("content") or "",
                date=row.get("published_date"),
                score=row.get("score"),
                source=self.name,
            )
