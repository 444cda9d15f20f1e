"""Holds requests back while an engine's weights change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentrl.errors import EngineError


class Gate:
    """Counts the requests that are running, and lets others in only while no update goes on.

    Args:
        timeout: seconds that an update waits for running requests; None waits as long as it takes.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self._timeout = timeout
        self._running: set[asyncio.Future[None]] = set()
        self._update: asyncio.Future[None] | None = None

    @property
    def running(self) -> int:
        """How many requests are running."""
        return len(self._running)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Run one request; waits while an update goes on."""
        while self._update is not None:
            await asyncio.shield(self._update)
        done = asyncio.get_running_loop().create_future()
        self._running.add(done)
        try:
            yield
        finally:
            self._running.discard(done)
            done.set_result(None)

    @asynccontextmanager
    async def update(self, *, in_flight: bool) -> AsyncIterator[None]:
        """Run one update; requests that come meanwhile wait.

        Args:
            in_flight: begin while requests are running; by default they are waited for.

        Raises:
            EngineError: running requests did not end in time.
        """
        while self._update is not None:
            await asyncio.shield(self._update)
        self._update = asyncio.get_running_loop().create_future()
        try:
            if not in_flight:
                await self.drained()
            yield
        finally:
            self._update.set_result(None)
            self._update = None

    async def drained(self) -> None:
        """Wait until the requests that are running now have ended.

        Raises:
            EngineError: they did not in time.
        """
        if not self._running:
            return
        _, left = await asyncio.wait(list(self._running), timeout=self._timeout)
        if left:
            raise EngineError(
                f"{len(left)} requests were still running after {self._timeout:g} s; they end "
                "before the weights change. Wait longer, or ask for `in_flight`."
            )
