"""Task panels of ScienceWorld: explicit, ordered, with disjoint splits."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from agentrl.envs.options import check_choice, check_integer, check_list
from agentrl.envs.scienceworld.java import simulator_version
from agentrl.envs.scienceworld.options import Options
from agentrl.envs.scienceworld.tasks import (
    HELD_OUT_BY_EPO,
    TASKS,
    UNUSED_BY_AGENTGYM,
    UNUSED_BY_EPO,
    ScienceTask,
    find_task,
)
from agentrl.errors import ConfigError, unknown_name
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/ScienceWorld-v0"

_OWN = {"train": "train", "dev": "dev", "heldout": "dev", "test": "test"}

SPLIT_SCHEMES = ("official", "l0", "l1", "l2", "agentgym")
"""`l0`, `l1`, `l2`: the lists of EPO (WujiangXu/EPO); `agentgym`: the tasks that AgentGym uses."""


def scienceworld_panel(
    split: str,
    *,
    split_scheme: str = "official",
    task_types: Sequence[str] = (),
    variations_per_task: int | None = None,
    count: int | None = None,
    seed: int | None = None,
    **options: Any,
) -> TaskPanel:
    """Return tasks of a split, ordered by the index of the task and the variation.

    Args:
        split: `train`, `dev` (also called `heldout`) or `test` of the package.  With EPO's schemes
            `train` and `test` (also called `heldout`).
        split_scheme: one of `SPLIT_SCHEMES`.
        task_types: names or ids of tasks; only these.
        variations_per_task: at most so many of each task, the first.
        count: at most so many tasks, the first; after shuffling if `seed` is given.
        seed: shuffles the order.
        options: options of all episodes, see `Options`, for example `simplifications="easy"`.

    Raises:
        UnknownNameError: unknown split, scheme, task or option.
        ConfigError: an option out of range, or no tasks are left.
        MissingExtraError: the package `scienceworld` is not installed.
    """
    for name in ("task", "variation"):
        if name in options:
            raise ConfigError(f"`{name}` is given by the panel; choose tasks with `task_types`.")
    check_list("task_types", task_types)
    check_integer("variations_per_task", variations_per_task, optional=True)
    check_integer("count", count, optional=True)
    check_integer("seed", seed, least=0, optional=True)
    named = [find_task(name).name for name in task_types]
    options = {**options, "simulator": simulator_version()}
    tasks = [
        _task(task, variation, split, options)
        for task, variations in _chosen(split, split_scheme)
        if not named or task.name in named
        for variation in variations[:variations_per_task]
    ]
    if seed is not None:
        random.Random(seed).shuffle(tasks)
    tasks = tasks[:count]
    if not tasks:
        raise ConfigError(
            f"No tasks are left: `split` {split!r} of `split_scheme` {split_scheme!r} has none of "
            f"`task_types` {list(task_types)}."
        )
    scheme = "" if split_scheme == "official" else f"{split_scheme}-"
    return TaskPanel.of(f"scienceworld-{scheme}{split}", tasks)


def task_id(task: ScienceTask, variation: int) -> str:
    """Return the id of a task in panels, for example `find-living-thing-12`."""
    return f"{task.name}-{variation}"


def _chosen(split: str, scheme: str) -> Iterator[tuple[ScienceTask, range]]:
    """Yield the tasks of a split, each with its variations.

    EPO's lists hold the same sets in the authors' shuffled order: L0 trains on the package's train
    variations of 29 tasks and tests on its dev variations, L1 tests on its test variations instead,
    L2 trains on 19 tasks and tests on the test variations of the ten others.
    """
    check_choice("ScienceWorld", "split_scheme", scheme, SPLIT_SCHEMES)
    if scheme in ("official", "agentgym"):
        own, left_out = _own_split(split), UNUSED_BY_AGENTGYM if scheme == "agentgym" else ()
        for task in TASKS.values():
            if task.id not in left_out:
                yield task, task.split(own)
        return
    known = ("train", "test", "heldout")
    if split not in known:
        raise unknown_name(f"split of ScienceWorld's `split_scheme` {scheme!r}", split, known)
    own = "train" if split == "train" else "dev" if scheme == "l0" else "test"
    for task in TASKS.values():
        wanted = scheme != "l2" or (task.id in HELD_OUT_BY_EPO) == (split != "train")
        if wanted and task.id not in UNUSED_BY_EPO:
            yield task, task.split(own)


def _own_split(split: str) -> str:
    if split not in _OWN:
        raise unknown_name(f"split of {ENV_ID}", split, _OWN)
    return _OWN[split]


def _task(task: ScienceTask, variation: int, split: str, options: dict[str, Any]) -> Task:
    chosen = {"task": task.name, "variation": variation, **options}
    read = Options.read(chosen)
    if "simplifications" in chosen:
        chosen["simplifications"] = read.simplifications
    return Task(
        id=task_id(task, variation),
        env_id=ENV_ID,
        options=chosen,
        split=split,
        task_type=task.name,
    )
