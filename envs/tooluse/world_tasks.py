"""Tasks that ask about generated worlds; every split and every task has a world of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.envs.options import check_integer
from agentrl.envs.tooluse.world import world
from agentrl.errors import ConfigError
from agentrl.tools.base import JSON
from agentrl.types import Task

FIRST_SEED: Mapping[str, int] = {"train": 0, "heldout": 1_000_000, "test": 2_000_000}
HOPS = (1, 2, 3)


def world_tasks(
    env_id: str, split: str, *, count: Any, hops: Any, options: Mapping[str, JSON]
) -> list[Task]:
    """Return tasks that need so many pages, in turn.

    Args:
        env_id: of the environment.
        split: one of `FIRST_SEED`.
        count: how many.
        hops: a list of numbers of pages.
        options: of every task, besides question, answers, world and path.

    Raises:
        ConfigError: `count` is no positive integer, or `hops` no list of `HOPS`.
    """
    check_integer("count", count)
    if not isinstance(hops, list | tuple) or not hops or not set(hops) <= set(HOPS):
        raise ConfigError(f"`hops` must be a list of 1, 2 and 3; got {hops!r}.")
    seeds = range(FIRST_SEED[split], FIRST_SEED[split] + count)
    return [
        _task(env_id, split, seed, hops[number % len(hops)], options)
        for number, seed in enumerate(seeds)
    ]


def _task(env_id: str, split: str, seed: int, hops: int, options: Mapping[str, JSON]) -> Task:
    questions = world(seed).questions[hops]
    question = questions[seed % len(questions)]
    return Task(
        id=f"world-{seed}-{hops}",
        env_id=env_id,
        seed=seed,
        split=split,
        task_type=f"{hops}-hop",
        answer=question.answer,
        options={
            "question": question.text,
            "answers": [question.answer],
            "world": seed,
            "path": list(question.path),
            **options,
        },
    )
