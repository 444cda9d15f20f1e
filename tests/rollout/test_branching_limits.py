"""Where branching stops: at the end of the context."""

from __future__ import annotations

from typing import Any

import pytest

from agentrl.algorithms.strategies.presets import rollout_strategy
from agentrl.envs.prompts import PlainPrompt
from agentrl.plans import PlanMaker
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tree import StopReason, Tree
from tests.rollout.restless import ENV_ID, RestlessEnv
from tests.rollout.rollouts import episode_settings, run
from tests.rollout.wandering import WanderingPolicy

ALWAYS = {"name": "arpo", "branch_probability": 1.0, "rollouts": 6, "initial_rollouts": 2}


async def grow(tokenizer: Any, strategy: dict[str, Any], **settings: Any) -> Tree:
    """Play one group, each episode of which lasts three turns if there is room."""
    changed = episode_settings(tokenizer, prompt=PlainPrompt(), **settings)
    policy = WanderingPolicy(tokenizer, changed.prompt, 0)
    plan_of = PlanMaker(tokenizer, 0, 6).of(rollout_strategy(strategy))
    async with EnvPool(8, env_ids=(ENV_ID,)) as pool:
        scheduler = RolloutScheduler(pool, changed, deterministic=True)
        forest = await scheduler.collect(
            RestlessEnv.panel("train", 1).tasks, policy, group_size=6, plan_of=plan_of
        )
    return forest[0]


@pytest.mark.parametrize("measure", ["before", "after"])
def test_no_branch_begins_where_the_context_is_full(tiny_tokenizer: Any, measure: str):
    strategy = {**ALWAYS, "measure": measure}
    roomy = run(grow(tiny_tokenizer, strategy, max_context=1000, max_tokens_per_turn=20))
    assert any(episode.parent_episode is not None for episode in roomy.episodes)
    full = len(roomy.nodes[0].ids) + 21  # one answer fits, its observation does not
    tree = run(grow(tiny_tokenizer, strategy, max_context=full, max_tokens_per_turn=20))
    assert len(tree.episodes) == 6
    for episode in tree.episodes:
        assert episode.stop is StopReason.TRUNCATED_TOKENS and episode.turns == 1
        assert episode.parent_episode is None
