"""Pages fetched from their own servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection

from agentrl.tools.browse.fetch import MOST_BYTES, SECONDS, Document, Fetcher
from agentrl.tools.browse.page import Page
from agentrl.tools.browse.robots import Robots
from agentrl.tools.browse.text import read_html


class DirectPages:
    """Fetches pages and makes them readable.

    Args:
        allowed: `host:port` of servers that may be asked although they are not public.
        seconds: for a page.
        most_bytes: of a page.
        robots: open only what sites want programs to open.
    """

    name = "direct"

    def __init__(
        self,
        *,
        allowed: Collection[str] = (),
        seconds: float = SECONDS,
        most_bytes: int = MOST_BYTES,
        robots: bool = False,
    ) -> None:
        self._fetcher = Fetcher(allowed=allowed, seconds=seconds, most_bytes=most_bytes)
        self._robots = Robots(self._fetcher) if robots else None

    async def read(self, url: str) -> Page:
        """Return the page at an address."""
        if self._robots is not None:
            await self._robots.check(url)
        document = await self._fetcher.fetch(url)
        return await asyncio.to_thread(readable, document)

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()


def readable(document: Document) -> Page:
    """Return a document as a page: HTML made readable, JSON indented, other text as it is."""
    kind, text = document.content_type, document.text
    if kind in ("text/html", "application/xhtml+xml") or _looks_like_html(kind, text):
        return read_html(text, document.url)
    if kind.endswith("json"):
        with contextlib.suppress(ValueError, RecursionError):  # else shown as it came
            text = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    return Page(url=document.url, text=text.replace("\r\n", "\n").strip())


def _looks_like_html(kind: str, text: str) -> bool:
    start = text[:200].lstrip().lower()
    return not kind and start.startswith(("<!doctype html", "<html", "<head", "<body"))
