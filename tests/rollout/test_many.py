"""Sixty-four environments at a time, in processes of their own."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from agentrl.envs import env_class
from agentrl.rollout.workers import EnvPool

CASES = {
    "textworld": ("agentrl/TextWorld-v0", {"levels": [103]}),
    "alfworld": ("agentrl/ALFWorld-v0", {"generated": True}),
    "webshop": ("agentrl/WebShop-v0", {"catalogue": "generated"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_sixty_four_environments_play_at_the_same_time(name: str):
    env_id, options = CASES[name]
    cls = env_class(env_id)
    panel = cls.panel("train", count=4, **options)
    cls.prepare(panel)

    async def play(pool: EnvPool, everyone: asyncio.Barrier, number: int) -> list[Any]:
        task, rng, seen = panel[number % 4], random.Random(number % 8), []
        async with pool.lease(task) as handle:
            _, info = await handle.reset(task)
            async with asyncio.timeout(60):
                await everyone.wait()  # all 64 are there at the same time
            for _ in range(15):
                actions = [*(info["admissible_actions"] or []), "search[red]"]
                result = await handle.step(rng.choice(actions))
                seen.append(result[:4])
                info = result[4]
                if result[2] or result[3]:
                    break
        return seen

    async def main() -> list[list[Any]]:
        async with EnvPool(64, env_ids=[env_id], call_timeout=60) as pool:
            assert pool.size == 64
            everyone = asyncio.Barrier(64)
            first, again = [
                await asyncio.gather(*(play(pool, everyone, number) for number in range(64)))
                for _ in range(2)
            ]
            assert pool.counts.started == pool.counts.reused == 64
            assert first == again
        return first

    episodes = asyncio.run(main())
    # Equal tasks and actions give equal episodes, whichever process plays them.
    assert all(episode == episodes[number % 8] for number, episode in enumerate(episodes))
