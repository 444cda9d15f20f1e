"""The search tool of an agent."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agentrl.errors import ConfigError
from agentrl.tools.base import JSON, ToolContext, ToolError, ToolErrorKind, ToolResult
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.formats import format_named
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.searcher import Searcher, normalized

NOTHING_FOUND = "No results were found."
REFUSED = "The search engine does not accept this query; use other words."
UNAVAILABLE = "The search service is not available."
CUT = "..."

_EPISODES = 256
"""Whose answers are remembered; an older one's are dropped."""

_logger = logging.getLogger(__name__)


class SearchTool:
    """Searches with a query; the same query in one episode is answered from memory.

    Many environments live in processes of their own, each with its own limits and connections;
    where all must share one rate limit and cache, let them ask `agentrl serve-search`.

    Args:
        searcher: who is asked; closed with the tool.
        topk: hits that are shown.
        characters: of a hit's text that are shown; None for all.
        style: how hits are shown, a name of `formats.FORMATS`.
        name: what the model calls it.
        description: for the model.
        timeout: seconds that a call may take.
    """

    def __init__(
        self,
        searcher: Searcher,
        *,
        topk: int = 3,
        characters: int | None = None,
        style: str = "search_r1",
        name: str = "search",
        description: str = "Search for passages that answer a query.",
        timeout: float = 30.0,
    ) -> None:
        if topk < 1 or (characters is not None and characters < 1):
            raise ConfigError(f"`topk` is {topk} and `characters` {characters}; 1 is the least.")
        self.name, self.description, self.timeout = name, description, timeout
        self.parameters: Mapping[str, JSON] = {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "What to search for."}},
            "required": ["query"],
            "additionalProperties": False,
        }
        self._searcher, self._topk, self._characters = searcher, topk, characters
        self._format = format_named(style)
        self._memory: OrderedDict[str, dict[str, ToolResult]] = OrderedDict()

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Return the hits as text.

        Raises:
            ToolError: the query is empty or refused, or the service gives no answer.
        """
        query = normalized(arguments["query"])
        if not query:
            raise ToolError("The query is empty.", ToolErrorKind.ARGUMENTS)
        memory = self._memory_of(context.episode)
        if known := memory.get(query):
            return replace(known, cached=True)
        result = self._result(await self._hits(query))
        memory[query] = result
        return result

    def fork(self, source: str, target: str) -> None:
        """Let an episode that goes on from another one remember what that one has asked."""
        self._memory_of(target).update(self._memory_of(source))

    async def close(self) -> None:
        """Close the searcher."""
        self._memory.clear()
        await self._searcher.close()

    async def _hits(self, query: str) -> Sequence[SearchHit]:
        try:
            return await self._searcher.search(query, self._topk)
        except SearchFailure as failure:
            _logger.warning("%s", failure)
            if failure.kind is FailureKind.BAD_REQUEST:
                raise ToolError(REFUSED) from failure
            raise ToolError(UNAVAILABLE, ToolErrorKind.UNAVAILABLE) from failure

    def _result(self, hits: Sequence[SearchHit]) -> ToolResult:
        shown = [shortened(hit, self._characters) for hit in hits]
        found = [hit.url or str(hit.extra.get("id", "")) for hit in hits]
        return ToolResult(
            text=self._format(shown).strip() or NOTHING_FOUND,
            metadata={"backend": self._searcher.name, "hits": len(hits), "found": found},
        )

    def _memory_of(self, episode: str) -> dict[str, ToolResult]:
        """Return an episode's answers by query; a context without an episode has none."""
        if not episode:
            return {}
        memory = self._memory.setdefault(episode, {})
        self._memory.move_to_end(episode)
        if len(self._memory) > _EPISODES:
            self._memory.popitem(last=False)
        return memory


def shortened(hit: SearchHit, characters: int | None) -> SearchHit:
    """Return a hit whose text has at most so many characters, visibly cut."""
    if characters is None or len(hit.snippet) <= characters:
        return hit
    snippet = hit.snippet[:characters].rstrip() + CUT
    extra = dict(hit.extra)
    if "contents" in extra:
        title, _, _ = hit.contents.partition("\n")
        extra["contents"] = f"{title}\n{snippet}"
    return replace(hit, snippet=snippet, extra=extra)
