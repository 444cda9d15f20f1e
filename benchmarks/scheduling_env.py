"""The environment of `rollout_scheduling.py`: it does next to nothing, and may sleep."""

from __future__ import annotations

import random
import time
from typing import Any, ClassVar

from agentrl.envs import Placement, TextEnv, register
from agentrl.envs.prompts import PlainPrompt
from agentrl.types import Task, TaskPanel

ENV_ID = "benchmarks/Corridor-v0"
ROOM = "You are in a room with a red door. A note on the wall says {note}. Exits: north, south."


class CorridorEnv(TextEnv):
    """Walks through `turns` rooms, whatever the action; no two observations are alike.

    Options: a step sleeps `seconds`, and `tail_share` of the steps `tail_factor` times as long.
    Which do depends on the task's seed alone, so that two rollouts wait for the same times.
    """

    prompt = PlainPrompt(only_admissible=False)
    placement: ClassVar[Placement] = Placement(memory_mib=4)

    @classmethod
    def panel(cls, split: str, count: int = 64, **options: Any) -> TaskPanel:
        """Return `count` tasks that differ in their seeds."""
        tasks = [
            Task(id=f"corridor-{seed}", env_id=ENV_ID, seed=seed, options=options)
            for seed in range(count)
        ]
        return TaskPanel.of("corridor", tasks)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Go to the first room."""
        self._options = options or {}
        self._draws = random.Random(seed)
        self._left = int(self._options.get("turns", 20))
        return self._text(), {"task": "Find the last room of the corridor."}

    def step(self, action: str) -> Any:
        """Go on to the next room."""
        seconds = float(self._options.get("seconds", 0.0))
        if self._draws.random() < self._options.get("tail_share", 0.0):
            seconds *= self._options["tail_factor"]
        if seconds:
            time.sleep(seconds)
        self._left -= 1
        over = self._left == 0
        return self._text(), float(over), over, False, {"won": over}

    def _text(self) -> str:
        return ROOM.format(note=self._draws.randrange(10**6))


register(ENV_ID, "scheduling_env:CorridorEnv", description="A corridor of rooms.")
