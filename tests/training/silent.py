"""An environment whose actions only its expert knows."""

from __future__ import annotations

from typing import Any

from agentrl.envs import TextEnv, register
from agentrl.envs.textworld import CompactPrompt

ENV_ID = "tests/Silent-v0"


class SilentEnv(TextEnv):
    """Lists no actions; its expert says a word of its own at every step."""

    prompt = CompactPrompt()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.expert, self.steps = bool((options or {}).get("expert")), 0
        return "start", self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return f"heard {action}", 0.0, self.steps == 3, False, self._info()

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"task": "speak", "admissible_actions": None}
        return info | ({"expert_action": f"abracadabra {self.steps}"} if self.expert else {})


register(ENV_ID, "tests.training.silent:SilentEnv", description="Lists no actions.")
