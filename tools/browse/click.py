"""The tool `click`: walks a web site link by link, as WebWalkerQA asks.

Source of the task: Alibaba-NLP/WebAgent:WebWalker (start at a root address, follow one link a
step).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping

from agentrl.tools.base import JSON, ToolContext, ToolError, ToolErrorKind, ToolResult
from agentrl.tools.browse.direct import DirectPages
from agentrl.tools.browse.page import Link, Page, PageSource
from agentrl.tools.browse.tool import CHARACTERS, TIMEOUT, checked_size, shown

ROOT = "root_url"
"""Option of a task: where its walk starts."""
MOST_LINKS = 100
EPISODES = 1024
"""Whose places are remembered."""
NO_ROOT = "This task names no page to start from."
NO_SUCH_LINK = "The page has no such link; give the number or the text of one that is listed."

_ADDRESS = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")


class ClickTool:
    """Shows the page an episode is at, and follows its links.

    Without arguments it shows the current page, at first the task's `root_url`; only links that
    are listed can be followed.

    Args:
        source: of pages; by default their own servers. Closed with the tool.
        root_url: where walks start whose task names no other page.
        characters: of a part of a page.
        most_links: that are listed.
        name: what the model calls it.
        timeout: seconds a call may take.

    Raises:
        ConfigError: parts would be too short or too long.
    """

    description = (
        "Click a link of the current web page and return the page it leads to, with its links. "
        "Without a link: show the current page. Long pages come in parts."
    )
    parameters: Mapping[str, JSON] = {
        "type": "object",
        "properties": {
            "link": {
                "type": "string",
                "description": "Number or text of a listed link; left out: the current page.",
            },
            "page": {
                "type": "integer",
                "minimum": 1,
                "description": "Which part of a long page; 1 if left out.",
            },
        },
        "additionalProperties": False,
    }

    def __init__(
        self,
        source: PageSource | None = None,
        *,
        root_url: str = "",
        characters: int = CHARACTERS,
        most_links: int = MOST_LINKS,
        name: str = "click",
        timeout: float = TIMEOUT,
    ) -> None:
        self._characters = checked_size(characters)
        self._source = source or DirectPages()
        self._root, self._most_links = root_url, most_links
        self.name, self.timeout = name, timeout
        self._places: OrderedDict[str, Page] = OrderedDict()

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Follow `link`, if given, and show the page."""
        page = self._places.get(context.episode) or await self._start(context)
        if wanted := str(arguments.get("link", "")).strip():
            page = await self._source.read(self._chosen(page, wanted).url)
        self._remember(context.episode, page)
        text = _ADDRESS.sub(r"[\1]", page.text)
        text = shown(page, text, int(arguments.get("page", 1)), self._characters)
        return ToolResult(
            text=f"{text}\n\n{self._listed(page)}",
            cached=page.cached,
            metadata={"url": page.url},
        )

    def fork(self, source: str, target: str) -> None:
        """Let one episode go on from where another is."""
        if source in self._places:
            self._remember(target, self._places[source])

    async def close(self) -> None:
        """Forget all places and close the source."""
        self._places.clear()
        await self._source.close()

    async def _start(self, context: ToolContext) -> Page:
        root = str(context.options.get(ROOT, self._root))
        if not root:
            raise ToolError(NO_ROOT)
        return await self._source.read(root)

    def _remember(self, episode: str, page: Page) -> None:
        self._places[episode] = page
        self._places.move_to_end(episode)
        if len(self._places) > EPISODES:
            self._places.popitem(last=False)

    def _chosen(self, page: Page, wanted: str) -> Link:
        """Return a listed link by its number, its text or its address."""
        links = page.links[: self._most_links]
        for link in links:
            if wanted.casefold() in (link.text.casefold(), link.url.casefold()):
                return link
        if wanted.isdecimal() and 1 <= int(wanted) <= len(links):
            return links[int(wanted) - 1]
        raise ToolError(NO_SUCH_LINK, ToolErrorKind.ARGUMENTS)

    def _listed(self, page: Page) -> str:
        links = page.links[: self._most_links]
        if not links:
            return "The page has no links."
        return "Links:\n" + "\n".join(f"{n}. {link.text}" for n, link in enumerate(links, 1))
