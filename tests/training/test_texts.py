"""What tokenizers of models from scratch are trained on."""

from __future__ import annotations

import asyncio

from agentrl.envs import env_class
from agentrl.rollout import EnvPool
from agentrl.training.warmup import collect_texts
from agentrl.types import Task
from tests.training.silent import ENV_ID


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
