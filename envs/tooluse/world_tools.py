"""Search and pages of a generated world, as tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.envs.tooluse.world import Page, world
from agentrl.tools.base import JSON, ToolContext, ToolError
from agentrl.tools.browse import BrowseTool

NOTHING = "Nothing was found."
_WORDS = 4
"""Of a page that a search shows which does not show it whole: nothing that is asked for."""


class WorldSearch:
    """Searches the pages of the task's world; the task's option `world` is its seed.

    Args:
        topk: pages shown.
        whole: pages are shown whole; otherwise their first words, so that they must be opened.
    """

    name = "search"
    description = "finds pages by words"
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "words to look for"}},
        "required": ["query"],
        "additionalProperties": False,
    }
    timeout = 10.0

    def __init__(self, topk: int = 1, whole: bool = True) -> None:
        self.topk = topk
        self.whole = whole

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> str:
        """Return the pages found, a line for each."""
        found = world(int(context.options["world"])).search(arguments["query"], self.topk)
        lines = [page.text if self.whole else _beginning(page) for page in found]
        return "\n".join(lines) or NOTHING

    async def close(self) -> None:
        """Nothing to free."""


class WorldBrowse:
    """Shows a page of the task's world by its title, with the titles it links to.

    The titles are the addresses of a world, and the arguments those of `BrowseTool`.
    """

    name = "browse"
    description = "opens a page by its address or title"
    parameters: Mapping[str, Any] = BrowseTool.parameters
    timeout = 10.0

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> str:
        """Return the page."""
        title = arguments["url"].strip()
        page = world(int(context.options["world"])).pages.get(title)
        if page is None:
            raise ToolError(f"There is no page {title[:50]!r}.")
        links = f" Links: {', '.join(page.links)}." if page.links else ""
        return f"{page.text}{links}"

    async def close(self) -> None:
        """Nothing to free."""


def _beginning(page: Page) -> str:
    return " ".join(page.text.split()[:_WORDS]) + " ..."
