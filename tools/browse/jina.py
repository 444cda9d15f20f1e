"""Pages read by Jina Reader, a service that renders them and answers with Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from agentrl.tools.base import JSON, ToolError, ToolErrorKind
from agentrl.tools.browse.fetch import BAD_ADDRESS
from agentrl.tools.browse.page import Link, Page
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.web.exchange import Credentials, Request, Response, usual_failure
from agentrl.tools.search.web.http import WebClient

ADDRESS = "https://r.jina.ai/"
KEY = "JINA_API_KEY"
FREE_RATE, PAID_RATE = 0.3, 5.0
"""Pages a second without and with a key."""

UNREADABLE = "The page could not be read."
UNAVAILABLE = "The service that reads pages is not available."

_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\((https?://[^\s()]+)")
_TEXT = re.compile(
    r"\s*Title: (?P<title>.*)\n+URL Source: (?P<url>\S+)\n(?:.*\n)*?Markdown Content:\n?"
)


@dataclass(frozen=True, slots=True)
class JinaService:
    """How the service is asked; it needs no key, but JINA_API_KEY lets it be asked more often."""

    name: ClassVar[str] = "jina_reader"

    @property
    def rate(self) -> float:
        """Pages a second."""
        return PAID_RATE if os.environ.get(KEY) else FREE_RATE

    def request(self, query: str, k: int = 1) -> Request:
        """Return the request for the page whose address is `query`."""
        return Request(method="GET", url=ADDRESS + query)

    def credentials(self) -> Credentials:
        """Return the key, if there is one."""
        key = os.environ.get(KEY, "").strip()
        return Credentials(headers={"Authorization": f"Bearer {key}"} if key else {})

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why there is no page; the wait it asks for is in the body."""
        if 200 <= response.status < 300:
            readable = page_from(response) is not None
            return None if readable else SearchFailure(FailureKind.BAD_JSON, self.name)
        failure = usual_failure(response, self.name)
        wait = response.data.get("retryAfter") if isinstance(response.data, dict) else None
        if failure is not None and failure.wait is None and isinstance(wait, int | float):
            return SearchFailure(failure.kind, self.name, response.status, float(wait))
        return failure

    def hits(self, data: JSON) -> Iterator[SearchHit]:
        """Yield the page, as the one thing found."""
        found = data["data"]
        yield SearchHit(
            title=found.get("title") or "",
            url=found.get("url"),
            snippet=found.get("content") or "",
            source=self.name,
        )


class JinaPages:
    """Has pages read by Jina Reader; belongs to one event loop.

    Args:
        client: by default one of its own; closed with this.
    """

    name = "jina"

    def __init__(self, *, client: WebClient | None = None) -> None:
        self._service = JinaService()
        self._client = client or WebClient()

    async def read(self, url: str) -> Page:
        """Return the page at an address."""
        if not url.startswith(("http://", "https://")):
            raise ToolError(BAD_ADDRESS)
        try:
            response = await self._client.send(self._service, self._service.request(url))
        except SearchFailure as failure:
            if failure.kind is FailureKind.BAD_REQUEST:
                raise ToolError(UNREADABLE) from failure
            raise ToolError(UNAVAILABLE, ToolErrorKind.UNAVAILABLE) from failure
        page = page_from(response)
        assert page is not None  # else the service had a `failure`
        return page

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def page_from(response: Response) -> Page | None:
    """Return the page of an answer, which is JSON or text; None if it holds none."""
    data = response.data
    if isinstance(data, dict):
        found = data.get("data")
        if not isinstance(found, dict) or not isinstance(found.get("content"), str):
            return None
        return _page(found.get("url") or "", found.get("title") or "", found["content"])
    start = _TEXT.match(response.text)
    if start is None:
        return None
    return _page(start["url"], start["title"].strip(), response.text[start.end() :])


def _page(url: str, title: str, text: str) -> Page:
    found = _LINK.findall(text)
    links = [Link(" ".join(shown.split()), address.partition("#")[0]) for shown, address in found]
    return Page(url=url, title=title, text=text.strip(), links=tuple(dict.fromkeys(links)))
