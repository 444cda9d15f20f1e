"""Google's results through serper.dev."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Serper:
    """The key is read from SERPER_API_KEY.

    Attributes:
        country: as Google's `gl`.
        language: as Google's `hl`.
    """

    name: ClassVar[str] = "serper"
    rate: ClassVar[float] = 10.0
    country: str = "us"
    language: str = "en"

    def request(self, query: str, k: int) -> Request:
        """Return the request for about k hits."""
        return Request(
            method="POST",
            url="https://google.serper.dev/search",
            body={"q": query, "num": k, "gl": self.country, "hl": self.language},
        )

    def credentials(self) -> Credentials:
        """Return the key."""
        return Credentials(headers={"X-API-KEY": key_from("SERPER_API_KEY", self.name)})

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why there is no answer; used-up credits come as a bad request."""
        if response.status == 400 and "credit" in response.text.lower():
            return SearchFailure(FailureKind.QUOTA, self.name, response.status)
        return usual_failure(response, self.name)

    def hits(self, data: JSON) -> Iterator[SearchHit]:
        """Yield the organic results; without any, the key is missing."""
        for row in data.get("organic") or []:
            yield SearchHit(
                title=row.get("title") or "",
                url=row.get("link"),
                snippet=row.get("snippet") or "",
                date=row.get("date"),
                source=self.name,
            )
