"""Supervised warm-up: texts for a tokenizer, expert episodes, imitation."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from agentrl.config.schema import WarmupConfig
from agentrl.envs.base import Prompt
from agentrl.errors import ConfigError
from agentrl.learner import Learner
from agentrl.rollout.policy import ExpertPolicy, seed_of
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tree import Forest, Writer
from agentrl.types import Task

EXPERT_OPTION = "expert"
"""Reset option that asks an environment to put `expert_action` into every `info`."""

TEXT_TASKS = 48
TEXT_TURNS = 12


def with_expert(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with the expert switched on."""
    return [replace(task, options={**task.options, EXPERT_OPTION: True}) for task in tasks]


async def collect_texts(pool: EnvPool, tasks: Sequence[Task], prompt: Prompt) -> list[str]:
    """Return texts that a model of this environment reads and writes, to train a tokenizer on.

    Plays the first tasks with random admissible actions and notes what is shown and done.
    """
    texts: list[str] = []
    for number, task in enumerate(tasks[:TEXT_TASKS]):
        rng = random.Random(seed_of("texts", number))
        async with pool.lease() as handle:
            observation, info = await handle.reset(task)
            texts.append(prompt.system(info) or "")
            for _ in range(TEXT_TURNS):
                actions = info.get("admissible_actions") or []
                texts += [prompt.observe(observation, info), *actions]
                if not actions:
                    break
                step = await handle.step(rng.choice(actions))
                observation, _, terminated, truncated, info = step
                if terminated or truncated:
                    break
    return texts


async def expert_forest(
    scheduler: RolloutScheduler, tasks: Sequence[Task], policy: ExpertPolicy, episodes: int
) -> Forest:
    """Play `episodes` expert episodes over the tasks in order, round and round.

    Random actions in them become context: they are not imitated.
    """
    if not tasks:
        raise ConfigError("`environment.train` gives an empty panel; a warm-up needs tasks.")
    chosen = [tasks[number % len(tasks)] for number in range(episodes)]
    forest = await scheduler.collect(
        with_expert(chosen), policy, group_size=1, tree_prefix="expert-"
    )
    for tree in forest.trees:
        for node in tree.nodes:
            if node.versions and node.versions[0][0] == ExpertPolicy.RANDOM_VERSION:
                node.writer, node.logprobs, node.versions = Writer.TEMPLATE, [], []
    return Forest([tree for tree in forest.trees if tree.counted()])


def imitate(
    learner: Learner, forest: Forest, settings: WarmupConfig, seed: int
) -> list[dict[str, float]]:
    """Train on random mini-batches of expert episodes; returns the metrics of each step."""
    rng = random.Random(seed_of(seed, "imitate"))
    metrics = []
    for step in range(settings.steps):
        rate = settings.learning_rate * _ramp(step, settings.steps)
        size = min(settings.episodes_per_step, len(forest.trees))
        batch = Forest(rng.sample(forest.trees, size))
        metrics.append(learner.supervised(batch, learning_rate=rate))
    return metrics


def _ramp(step: int, steps: int) -> float:
    """A short linear rise, then a linear fall to a tenth."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 1.0 - 0.9 * (step - rise) / max(1, steps - rise)
