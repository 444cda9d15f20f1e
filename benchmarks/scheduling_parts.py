"""What `rollout_scheduling.py` puts in the place of processes, engine and tokenizer, one by one."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from scheduling_env import ROOM, CorridorEnv

from agentrl.algorithms.strategies.plan import Start
from agentrl.engines import Completion
from agentrl.envs.base import Info
from agentrl.envs.contract import completed
from agentrl.rollout.handle import EnvState
from agentrl.rollout.plan import Turn
from agentrl.rollout.policy import EpisodeKey
from agentrl.tokens import Bridge, ModelTurn, Renderer
from agentrl.types import Task

ANSWER = "go north"
ECHO = """
import socket, sys
with socket.socket(fileno=int(sys.argv[1])) as connection:
    while connection.recv(4096):
        connection.sendall(b"x" * int(sys.argv[2]))
"""


class InProcessHandle:
    """An environment in this process, as an episode sees it."""

    seconds = 0.0

    def __init__(self) -> None:
        self._env = CorridorEnv()
        self._steps = 0

    async def reset(self, task: Task) -> tuple[str, Info]:
        """Start a task."""
        self._task, self._steps = task, 0
        observation, info = self._env.reset(seed=task.seed, options=task.options)
        return observation, completed(info, observation, task, 0)

    async def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Act."""
        observation, *rest, info = self._env.step(action)
        self._steps += 1
        return observation, *rest, completed(info, observation, self._task, self._steps)


class InProcessPool:
    """Stands for `EnvPool`; a state is restored by repeating the actions."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.restoring = 0.0  # seconds that it has taken to restore states

    @asynccontextmanager
    async def lease(
        self, task: Task | None = None, *, state: EnvState | None = None
    ) -> AsyncIterator[InProcessHandle]:
        """Make an environment."""
        handle = InProcessHandle()
        if state is not None:
            started = time.perf_counter()
            await handle.reset(state.task)
            for action in state.actions:
                await handle.step(action)
            self.restoring += time.perf_counter() - started
        yield handle


class PreparedPolicy:
    """Always gives the same answer, at once."""

    def __init__(self, renderer: Renderer) -> None:
        tokenizer = renderer.tokenizer
        self._ids = [*tokenizer.encode(ANSWER, add_special_tokens=False), renderer.end_of_turn_id]

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Return the answer."""
        zeros, count = [0.0] * len(self._ids), len(self._ids)
        return Completion(
            ids=list(self._ids),
            logprobs=zeros,
            entropies=list(zeros),
            stop="stop_id",
            versions=[(0, count)],
        )

    def finish(self, key: EpisodeKey) -> None:
        """Nothing to free."""


class PreparedRenderer(Renderer):
    """Knows the ids of everything beforehand: no chat template, no tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        messages = [{"role": "user", "content": ROOM.format(note=123456)}]
        bridge = super().bridge(messages, ended=True)
        assert isinstance(bridge, Bridge)
        self._prompt, self._bridge = super().prompt(messages), bridge.ids

    def prompt(self, messages: Any, tools: Any = None) -> list[int]:
        """Return the ids of one room."""
        return list(self._prompt)

    def parse(self, ids: Sequence[int]) -> ModelTurn:
        """Return the prepared answer."""
        return ModelTurn(ANSWER, True)

    def bridge(
        self, messages: Any, *, ended: bool, tools: Any = None, thought: bool = False
    ) -> Bridge:
        """Return the ids of one room."""
        return Bridge([], list(self._bridge))


class BranchAt:
    """The plan of one episode and `branches` that leave it at the start of a turn."""

    forks = True

    def __init__(self, turn: int, branches: int) -> None:
        self.rollouts = 1 + branches
        self._turn = turn

    def begin(self) -> list[Start]:
        """Return the episode."""
        return [Start()]

    def observe(self, turn: Turn) -> list[Start]:
        """Return the branches as soon as the turn before them is over."""
        if turn.row or turn.turn != self._turn - 1:
            return []
        return [Start(source=0, turn=self._turn)] * (self.rollouts - 1)

    def lost(self, row: int, replace: bool) -> list[Start]:
        """Return nothing: nothing fails here."""
        return []


def bare_exchange(call_bytes: int, answer_bytes: int, count: int) -> float:
    """Return the seconds that two processes take to exchange messages and do nothing else."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", ECHO, str(theirs.fileno()), str(answer_bytes)]
    call = struct.pack(">I", call_bytes).ljust(call_bytes)
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as echo:
        theirs.close()
        for number in range(count + 10):
            if number == 10:
                started = time.perf_counter()
            ours.sendall(call)
            left = answer_bytes
            while left:
                left -= len(ours.recv(left))
        seconds = (time.perf_counter() - started) / count
        ours.close()
        echo.wait(10)
    return seconds
