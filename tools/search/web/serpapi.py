"""Google's results through serpapi.com."""

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

_NOTHING_FOUND = "hasn't returned any results"


@dataclass(frozen=True, slots=True, kw_only=True)
class SerpApi:
    """The key is read from SERPAPI_API_KEY; it travels in the address.

    Attributes:
        engine: one of the service's engines that give `organic_results`.
    """

    name: ClassVar[str] = "serpapi"
    rate: ClassVar[float] = 10.0
    engine: str = "google"

    def request(self, query: str, k: int) -> Request:
        """Return the request for about k hits."""
        return Request(
            method="GET",
            url="https://serpapi.com/search",
            params={"engine": self.engine, "q": query, "num": str(k)},
        )

    def credentials(self) -> Credentials:
        """Return the key."""
        return Credentials(params={"api_key": key_from("SERPAPI_API_KEY", self.name)})

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why there is no answer; the service also says so with status 200."""
        failure = usual_failure(response, self.name)
        if failure is not None:
            return failure
        error = str(response.data.get("error") or "")
        if not error or _NOTHING_FOUND in error:
            return None
        return SearchFailure(_kind(error.lower()), self.name, response.status)

    def hits(self, data: JSON) -> Iterator[SearchHit]:
        """Yield the organic results."""
        for row in data.get("organic_results") or []:
            yield SearchHit(
                title=row.get("title") or "",
                url=row.get("link"),
                snippet=row.get("snippet") or "",
                date=row.get("date"),
                source=self.name,
            )


def _kind(error: str) -> FailureKind:
    if "api key" in error:
        return FailureKind.AUTH
    if "run out of searches" in error:
        return FailureKind.QUOTA
    return FailureKind.UPSTREAM
