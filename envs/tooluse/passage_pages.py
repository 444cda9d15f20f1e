"""The passages of one title as a page, so that what a search has found can be opened."""

from __future__ import annotations

from agentrl.tools.base import ToolError, ToolErrorKind
from agentrl.tools.browse import Page
from agentrl.tools.search.failure import SearchFailure
from agentrl.tools.search.searcher import Searcher
from agentrl.tools.search.tool import UNAVAILABLE

_LOOKED_AT = 30
"""Hits among which the passages of a title are looked for."""


class PassagePages:
    """A `PageSource` over a corpus or a server: the address of a page is its title.

    Args:
        searcher: who is asked; closed with it.
    """

    name = "passages"

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    async def read(self, url: str) -> Page:
        """Return all passages found under a title.

        Raises:
            ToolError: there are none, or the searcher is out of service.
        """
        title = url.strip().strip('"')
        try:
            hits = await self._searcher.search(title, _LOOKED_AT)
        except SearchFailure as failure:
            raise ToolError(UNAVAILABLE, ToolErrorKind.UNAVAILABLE) from failure
        texts = [hit.snippet for hit in hits if hit.title.casefold() == title.casefold()]
        if not texts:
            raise ToolError(f"There is no page {title[:100]!r}; give a title as a search shows it.")
        return Page(url=title, title=title, text="\n".join(dict.fromkeys(texts)))

    async def close(self) -> None:
        """Close the searcher."""
        await self._searcher.close()
