"""Let all live episodes take their turns together, so that every batch repeats from run to run.

Sampling is seeded per turn, but a matrix product rounds differently in a batch of another size.
Where bit-for-bit repetition matters more than overlap (resuming a killed run, comparing two
settings), this policy holds each request back until every live episode has asked, and then sends
them in a fixed order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from agentrl.engines.base import Completion
from agentrl.envs.base import Info
from agentrl.rollout.policy import EpisodeKey, Policy


class Lockstep:
    """A policy around a policy: requests wait for each other.

    Args:
        policy: who really chooses.
        settle: called whenever every live episode waits or has ended, before the turn begins; what
            it starts (`join`) is waited for, too.
    """

    def __init__(self, policy: Policy, settle: Callable[[], None]) -> None:
        self.policy = policy
        self._settle = settle
        self._live = 0
        self._waiting: dict[EpisodeKey, asyncio.Future[None]] = {}
        self._finished: list[EpisodeKey] = []

    def join(self) -> None:
        """Say that one more episode is being played."""
        self._live += 1

    def leave(self) -> None:
        """Say that an episode is not played any more."""
        self._live -= 1
        self._settle_if_complete()

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Wait until every live episode asks, then choose."""
        start: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = start
        self._settle_if_complete()
        try:
            await start
        finally:
            self._waiting.pop(key, None)
        return await self.policy.act(prompt_ids, key=key, turn=turn, room=room, info=info)

    def finish(self, key: EpisodeKey) -> None:
        """Note the end; told to the inner policy, in order, when the next turn starts."""
        self._finished.append(key)

    def _complete(self) -> bool:
        return len(self._waiting) >= self._live

    def _settle_if_complete(self) -> None:
        # Later, because the coroutine that asked last does not wait yet and would run first.
        if self._complete():
            asyncio.get_running_loop().call_soon(self._start_turn)

    def _start_turn(self) -> None:
        if not self._complete():  # cancelled meanwhile
            return
        self._settle()
        if not self._complete():
            return
        for key in sorted(self._finished):
            self.policy.finish(key)
        self._finished.clear()
        # The event loop wakes the waiting coroutines in the order in which they are released.
        for key in sorted(self._waiting):
            start = self._waiting.pop(key)
            if not start.done():
                start.set_result(None)
