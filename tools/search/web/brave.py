"""Brave's own index of the web."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from agentrl.tools.base import JSON
from agentrl.tools.search.failure import LONGEST_WAIT, FailureKind, SearchFailure
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Brave:
    """The key is read from BRAVE_API_KEY.

    Attributes:
        rate: requests a second; the free plan allows one.
        extra_snippets: ask for more texts of each page, which go into `extra`.
    """

    name: ClassVar[str] = "brave"
    rate: float = 1.0
    extra_snippets: bool = True

    def request(self, query: str, k: int) -> Request:
        """Return the request for about k hits."""
        extra = {"extra_snippets": "true"} if self.extra_snippets else {}
        return Request(
            method="GET",
            url="https://api.search.brave.com/res/v1/web/search",
            params={"q": query, "count": str(min(k, _MOST)), **extra},
        )

    def credentials(self) -> Credentials:
        """Return the key."""
        return Credentials(headers={"X-Subscription-Token": key_from("BRAVE_API_KEY", self.name)})

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why there is no answer; a month that is used up is no passing limit."""
        failure = usual_failure(response, self.name)
        if failure is None or failure.kind is not FailureKind.RATE_LIMIT:
            return failure
        wait = _window_wait(response)
        wait = failure.wait if wait is None else wait
        used_up = wait is not None and wait > LONGEST_WAIT
        kind = FailureKind.QUOTA if used_up else FailureKind.RATE_LIMIT
        return SearchFailure(kind, self.name, response.status, wait)

    def hits(self, data: JSON) -> Iterator[SearchHit]:
        """Yield the results of the web; without any, `web` is missing."""
        for row in (data.get("web") or {}).get("results") or []:
            page_age = (row.get("page_age") or "").partition("T")[0]
            snippets = row.get("extra_snippets")
            yield SearchHit(
                title=row.get("title") or "",
                url=row.get("url"),
                snippet=row.get("description") or "",
                date=page_age or row.get("age"),
                source=self.name,
                extra={"snippets": snippets} if snippets else {},
            )


def _window_wait(response: Response) -> float | None:
    """Return the seconds to the end of the first window that is used up.

    The headers hold one value per window, for example `1, 15000` for a second and a month.
    """
    remaining, resets = (
        [part.strip() for part in response.headers.get(f"x-ratelimit-{name}", "").split(",")]
        for name in ("remaining", "reset")
    )
    for left, reset in zip(remaining, resets, strict=False):
        if left == "0" and reset.isdecimal():
            return float(reset)
    return None
