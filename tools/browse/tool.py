"""The tool `browse`: opens an address."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from agentrl.errors import ConfigError
from agentrl.tools.base import JSON, ToolContext, ToolError, ToolErrorKind, ToolResult
from agentrl.tools.browse.direct import DirectPages
from agentrl.tools.browse.page import Page, PageSource, part

CHARACTERS = 3000
FEWEST, MOST = 1000, 10_000
TIMEOUT = 70.0
"""Seconds; a service may be asked several times."""
REMEMBERED = 64
"""Pages opened last, of all episodes."""
EMPTY = "The page holds no text."


class BrowseTool:
    """Opens an address and shows one part of the page, with its links.

    Args:
        source: of pages; by default the servers of the pages themselves. Closed with the tool.
        characters: of a part.
        name: what the model calls it.
        timeout: seconds a call may take.

    Raises:
        ConfigError: parts would be too short or too long.
    """

    description = (
        "Open a web page and return its text. Links are written [text](address). "
        "Long pages come in parts."
    )
    parameters: Mapping[str, JSON] = {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "Address, with http:// or https://."},
            "page": {
                "type": "integer",
                "minimum": 1,
                "description": "Which part of a long page; 1 if left out.",
            },
        },
        "required": ["url"],
        "additionalProperties": False,
    }

    def __init__(
        self,
        source: PageSource | None = None,
        *,
        characters: int = CHARACTERS,
        name: str = "browse",
        timeout: float = TIMEOUT,
    ) -> None:
        self._characters = checked_size(characters)
        self._source = source or DirectPages()
        self.name, self.timeout = name, timeout
        self._opened: OrderedDict[tuple[str, str], Page] = OrderedDict()

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Open `url` and show part number `page`."""
        page = await self._page(str(arguments["url"]).strip(), context.episode)
        text = shown(page, page.text, int(arguments.get("page", 1)), self._characters)
        return ToolResult(text=text, cached=page.cached, metadata={"url": page.url})

    async def close(self) -> None:
        """Close the source."""
        self._opened.clear()
        await self._source.close()

    async def _page(self, url: str, episode: str) -> Page:
        """Return a page; the parts an episode sees of it are of one and the same."""
        key = (episode, url)
        page = self._opened.get(key) if episode else None
        if page is not None:
            return replace(page, cached=True)
        page = self._opened[key] = await self._source.read(url)
        if len(self._opened) > REMEMBERED:
            self._opened.popitem(last=False)
        return page


def shown(page: Page, text: str, number: int, size: int) -> str:
    """Return one part of a page's text with title, address and place.

    Raises:
        ToolError: there is no part of that number.
    """
    found, count = part(text, number, size)
    if number > count:
        raise ToolError(f"The page has only {count} parts.", ToolErrorKind.ARGUMENTS)
    lines = [f"Title: {page.title}"] if page.title else []
    lines.append(f"Address: {page.url}")
    if count > 1:
        lines.append(f"Part {number} of {count}")
    return "\n".join([*lines, "", found or EMPTY])


def checked_size(characters: int) -> int:
    """Return the size of a part.

    Raises:
        ConfigError: it is too small or too large.
    """
    if not FEWEST <= characters <= MOST:
        raise ConfigError(f"`characters` is {characters}; accepted are {FEWEST} to {MOST}.")
    return characters
