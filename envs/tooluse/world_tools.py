"""Search and pages of a generated world, as tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.envs.tooluse.world import world
from agentrl.tools.base import JSON, ToolContext, ToolError

NOTHING = "Nothing was found."


class WorldSearch:
    """Searches the pages of the task's world; the task's option `world` is its seed.

    Args:
        topk: pages shown.
        whole: pages are shown whole; otherwise their first sentence.
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
        lines = [page.text if self.whole else f"{page.text.split('. ')[0]}" for page in found]
        return "\n".join(lines) or NOTHING

    async def close(self) -> None:
        """Nothing to free."""


class WorldBrowse:
    """Shows a page of the task's world by its title, with the titles it links to."""

    name = "browse"
    description = "shows a page by its title"
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"title": {"type": "string", "description": "title of a page"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    timeout = 10.0

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> str:
        """Return the page."""
        page = world(int(context.options["world"])).pages.get(arguments["title"].strip())
        if page is None:
            raise ToolError(f"There is no page {arguments['title'][:50]!r}.")
        links = f" Links: {', '.join(page.links)}." if page.links else ""
        return f"{page.text}{links}"

    async def close(self) -> None:
        """Nothing to free."""
