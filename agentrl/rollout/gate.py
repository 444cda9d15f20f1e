"""A policy that can be held back and exchanged while episodes that use it are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentrl.engines.base import Completion
from agentrl.envs.base import Info
from agentrl.rollout.policy import EpisodeKey, Policy


class Gate:
    """Lets requests through to a policy while it is open; the others wait.

    A request that is under way when the gate closes is answered; the episode's next one waits, and
    goes to whichever policy the gate is opened to.
    """

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._opened = asyncio.Event()

    def open(self, policy: Policy) -> None:
        """Let requests through to `policy`."""
        self._policy = policy
        self._opened.set()

    def close(self) -> None:
        """Hold further requests back."""
        self._opened.clear()

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Wait for the gate, then choose."""
        if not self._opened.is_set():
            await self._opened.wait()
        assert self._policy is not None
        return await self._policy.act(prompt_ids, key=key, turn=turn, room=room, info=info)

    def finish(self, key: EpisodeKey) -> None:
        """Say that the episode has ended."""
        if self._policy is not None:
            self._policy.finish(key)
