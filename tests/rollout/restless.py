"""An environment whose answers take a random time, whatever the seed."""

from __future__ import annotations

import random
import time
from typing import Any

from agentrl.envs import TextEnv, register
from agentrl.envs.textworld import CompactPrompt
from agentrl.types import Task, TaskPanel

ENV_ID = "tests/Restless-v0"
_clock = random.SystemRandom()


class RestlessEnv(TextEnv):
    """Three to six steps; the action only decides how the next observation reads."""

    prompt = CompactPrompt()

    @classmethod
    def panel(cls, split: str, count: int = 4) -> TaskPanel:
        return TaskPanel.of(
            "restless", [Task(id=str(n), env_id=ENV_ID, seed=n) for n in range(count)]
        )

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 3 + (seed or 0) % 4
        return "You wait.", {"task": "Wait.", "admissible_actions": ["go", "wait"]}

    def step(self, action: str) -> Any:
        time.sleep(_clock.uniform(0.0, 0.02))
        self.left -= 1
        text = f"{len(action)} letters, {self.left} left."
        return text, len(action) / 10, self.left == 0, False, {"won": self.left == 0}


register(ENV_ID, "tests.rollout.restless:RestlessEnv", description="Slow at random.")
