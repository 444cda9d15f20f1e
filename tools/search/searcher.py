"""What searches: a local index, a server or a web back end, all asked the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from agentrl.tools.search.hit import SearchHit


class Searcher(Protocol):
    """Something that can be asked."""

    @property
    def name(self) -> str:
        """The back end."""

    async def search(self, query: str, k: int) -> Sequence[SearchHit]:
        """Return at most k hits, the best first.

        Raises:
            SearchFailure: there is no answer.
        """

    async def close(self) -> None:
        """Free everything."""


class LocalIndex(Protocol):
    """An index of this process, for example `Bm25Index` or `DenseIndex`; any thread may ask."""

    def search(self, query: str, k: int) -> Sequence[SearchHit]:
        """Return at most k hits, the best first."""


class LocalSearcher:
    """Asks an index in a thread, so that the event loop goes on meanwhile."""

    name = "local"

    def __init__(self, index: LocalIndex) -> None:
        self.index = index

    async def search(self, query: str, k: int) -> Sequence[SearchHit]:
        """Return at most k passages, the best first."""
        return await asyncio.to_thread(self.index.search, query, k)

    async def close(self) -> None:
        """Do nothing; the index is memory-mapped."""


def normalized(query: str) -> str:
    """Return a query as caches know it: only space is changed, so that "C++" is not "c"."""
    return " ".join(query.split())
