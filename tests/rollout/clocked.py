"""An environment that says when its reset began and ended."""

from __future__ import annotations

import time
from typing import Any

from agentrl.envs import TextEnv, register
from agentrl.envs.textworld.prompts import CompactPrompt
from agentrl.types import Task, TaskPanel

ENV_ID = "tests/Clocked-v0"


class ClockedEnv(TextEnv):
    """Takes a moment to reset; its observation holds the two times."""

    prompt = CompactPrompt()

    @classmethod
    def panel(cls, split: str) -> TaskPanel:
        return TaskPanel.of("clocked", [Task(id="0", env_id=ENV_ID)])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        began = time.monotonic()
        time.sleep(0.05)
        return f"{began} {time.monotonic()}", {"task": "Wait."}

    def step(self, action: str) -> Any:
        return action, 0.0, True, False, {}


register(ENV_ID, "tests.rollout.clocked:ClockedEnv", description=str(ClockedEnv.__doc__))
