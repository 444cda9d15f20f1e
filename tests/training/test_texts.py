"""What tokenizers of models from scratch are trained on."""

from __future__ import annotations

import asyncio
from typing import Any

from agentrl.envs import TextEnv, env_class, register
from agentrl.envs.textworld import CompactPrompt
from agentrl.rollout import EnvPool
from agentrl.training.warmup import collect_texts
from agentrl.types import Task

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


register(ENV_ID, "tests.training.test_texts:SilentEnv", description="Lists no actions.")


async def _texts(expert: bool) -> list[str]:
    async with EnvPool(1, env_ids=[ENV_ID]) as pool:
        task = Task(id="0", env_id=ENV_ID)
        return await collect_texts(pool, [task], env_class(ENV_ID).prompt, expert=expert)


def test_the_expert_speaks_where_an_environment_lists_no_actions():
    texts = asyncio.run(_texts(expert=True))
    assert [text for text in texts if "abracadabra" in text] == [
        "abracadabra 0",
        "heard abracadabra 0",
        "abracadabra 1",
        "heard abracadabra 1",
        "abracadabra 2",
    ]


def test_no_expert_is_asked_for_where_none_is_wanted():
    assert asyncio.run(_texts(expert=False)) == ["speak", "start"]
