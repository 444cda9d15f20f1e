"""Let all live episodes take their turns together, so that every batch repeats from run to run.

Sampling is seeded per turn, but a matrix product rounds differently in a batch of another size.
Where bit-for-bit repetition matters more than overlap (resuming a killed run, comparing two
settings), this policy holds each request back until every live episode has asked, and then sends
them in a fixed order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from agentrl.engines.base import Completion
from agentrl.envs.base import Info
from agentrl.rollout.policy import EpisodeKey, Policy

Ask = Callable[[], Coroutine[Any, Any, Completion]]
Request = tuple[
    EpisodeKey, Callable[[], Coroutine[Any, Any, Completion]], asyncio.Future[Completion]
]


class Lockstep:
    """A policy around a policy: requests wait for each other.

    Args:
        policy: who really chooses.
        live: number of coroutines that play episodes one after the other.
    """

    def __init__(self, policy: Policy, live: int) -> None:
        self.policy = policy
        self.live = live
        self._waiting: list[Request] = []
        self._finished: list[EpisodeKey] = []
        self._running: set[asyncio.Task[None]] = set()

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Wait until every live episode asks, then choose."""
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()

        def ask() -> Coroutine[Any, Any, Completion]:
            return self.policy.act(prompt_ids, key=key, turn=turn, room=room, info=info)

        self._waiting.append((key, ask, future))
        self._release_if_complete()
        return await future

    def finish(self, key: EpisodeKey) -> None:
        """Note the end; told to the inner policy, in order, when the next turn starts."""
        self._finished.append(key)

    def leave(self) -> None:
        """Say that one of the `live` coroutines has no more episodes to play."""
        self.live -= 1
        if self.live == 0:
            self._tell_finished()
        self._release_if_complete()

    def _tell_finished(self) -> None:
        for key in sorted(self._finished):
            self.policy.finish(key)
        self._finished.clear()

    def _release_if_complete(self) -> None:
        if len(self._waiting) < self.live or not self._waiting:
            return
        self._tell_finished()
        batch, self._waiting = sorted(self._waiting, key=lambda request: request[0]), []
        for _, ask, future in batch:
            task = asyncio.ensure_future(_answer(ask, future))
            self._running.add(task)
            task.add_done_callback(self._running.discard)


async def _answer(ask: Ask, future: asyncio.Future[Completion]) -> None:
    try:
        completion = await ask()
    except Exception as error:
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(completion)
