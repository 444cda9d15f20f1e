"""Pages kept in a file, so that they are fetched once and an evaluation can be repeated."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from urllib.parse import urldefrag

from agentrl.tools.base import ToolError, ToolErrorKind
from agentrl.tools.browse.page import Link, Page, PageSource
from agentrl.tools.search.failure import SearchFailure
from agentrl.tools.search.web.cache import ResponseCache
from agentrl.tools.search.web.exchange import Request

NOT_STORED = "The page is not among those that were stored."
LASTING = (ToolErrorKind.FAILED,)
"""Failures that are kept too, for as long as the cache believes that there is nothing."""


class CachedPages:
    """Asks a source only for pages it does not know.

    Args:
        source: of pages that are not stored; closed with this.
        cache: where pages are stored; one that is read only never asks the source.
    """

    def __init__(self, source: PageSource, cache: ResponseCache) -> None:
        self._source, self._cache = source, cache
        self.name = source.name

    async def read(self, url: str) -> Page:
        """Return the page at an address."""
        request = Request(method="GET", url=urldefrag(url).url)
        try:
            stored = await asyncio.to_thread(self._cache.get, self._key, request)
        except SearchFailure as miss:
            raise ToolError(NOT_STORED, ToolErrorKind.UNAVAILABLE) from miss
        if stored is not None:
            return _loaded(stored)
        try:
            page = await self._source.read(url)
        except ToolError as error:
            if error.kind in LASTING:
                failure = json.dumps({"failure": str(error), "kind": error.kind})
                await asyncio.to_thread(self._store, request, failure, empty=True)
            raise
        text = json.dumps(asdict(page), ensure_ascii=False)
        await asyncio.to_thread(self._store, request, text, empty=False)
        return page

    async def close(self) -> None:
        """Close source and cache."""
        await self._source.close()
        self._cache.close()

    @property
    def _key(self) -> str:
        return f"page:{self.name}"

    def _store(self, request: Request, text: str, *, empty: bool) -> None:
        self._cache.put(self._key, request, text, empty=empty)


def _loaded(text: str) -> Page:
    data = json.loads(text)
    if "failure" in data:
        raise ToolError(data["failure"], ToolErrorKind(data["kind"]))
    links = tuple(Link(**link) for link in data["links"])
    return Page(url=data["url"], title=data["title"], text=data["text"], links=links, cached=True)
