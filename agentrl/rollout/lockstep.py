"""Let all live episodes take their turns together, so that every batch repeats from run to run.

Sampling is seeded per turn, but a matrix product rounds differently in a batch of another size.
Where bit-for-bit repetition matters more than overlap (resuming a killed run, comparing two
settings), this policy holds each request back until every live episode has asked, and then sends
them in a fixed order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentrl.engines.base import Completion
from agentrl.envs.base import Info
from agentrl.rollout.policy import EpisodeKey, Policy


class Lockstep:
    """A policy around a policy: requests wait for each other.

    Args:
        policy: who really chooses.
        live: number of coroutines that play episodes one after the other.
    """

    def __init__(self, policy: Policy, live: int) -> None:
        self.policy = policy
        self.live = live
        self._waiting: dict[EpisodeKey, asyncio.Future[None]] = {}
        self._finished: list[EpisodeKey] = []

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Wait until every live episode asks, then choose."""
        start: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = start
        self._start_if_complete()
        try:
            await start
        finally:
            self._waiting.pop(key, None)
        return await self.policy.act(prompt_ids, key=key, turn=turn, room=room, info=info)

    def finish(self, key: EpisodeKey) -> None:
        """Note the end; told to the inner policy, in order, when the next turn starts."""
        self._finished.append(key)

    def leave(self) -> None:
        """Say that one of the `live` coroutines has no more episodes to play."""
        self.live -= 1
        if self.live == 0:
            self._tell_finished()
        self._start_if_complete()

    def _tell_finished(self) -> None:
        for key in sorted(self._finished):
            self.policy.finish(key)
        self._finished.clear()

    def _complete(self) -> bool:
        return bool(self._waiting) and len(self._waiting) >= self.live

    def _start_if_complete(self) -> None:
        # Later, because the coroutine that asked last does not wait yet and would run first.
        if self._complete():
            asyncio.get_running_loop().call_soon(self._start_turn)

    def _start_turn(self) -> None:
        if not self._complete():  # cancelled meanwhile
            return
        self._tell_finished()
        # The event loop wakes the waiting coroutines in the order in which they are released.
        for key in sorted(self._waiting):
            start = self._waiting.pop(key)
            if not start.done():
                start.set_result(None)
