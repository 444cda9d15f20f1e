"""Task panels over the shuffled goals: explicit, ordered, with disjoint splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from random import Random
from typing import Any

from agentrl.envs.options import check_choice, check_integer, check_list
from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.goals import Goal, GoalSet
from agentrl.envs.webshop.options import Options
from agentrl.errors import ConfigError, DataError, unknown_name
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/WebShop-v0"

SCHEMES: Mapping[str, Mapping[str, tuple[int, int | None]]] = {
    "original": {"test": (0, 500), "eval": (500, 1500), "train": (1500, None)},
    "verl-agent": {"test": (0, 500), "train": (500, None)},
}
"""Scheme to split to its first goal and the one after its last.

`original`: princeton-nlp/WebShop:baseline_models/env.py.  `verl-agent`: langfengQ/verl-agent, whose
validation goals are called `test` here.
"""

ENOUGH_GOALS = 3000
"""With fewer goals the splits are shares of them: test a tenth, eval (if any) a fifth."""

MOST_TASKS = 100_000


def webshop_panel(
    split: str,
    *,
    count: int | None = None,
    seed: int | None = None,
    split_scheme: str = "original",
    task_types: Sequence[str] = (),
    **options: Any,
) -> TaskPanel:
    """Return the goals of a split, in the order of the shuffled goals.

    Args:
        split: `train`, `eval`, `test`, or `heldout`, which is `test` by another name.
        count: only so many.
        seed: shuffle the split (before `count` is applied).
        split_scheme: `original`, or `verl-agent` (no `eval`; train begins after test).
        task_types: only goals of these departments of the shop, for example `beauty`.
        options: options of the tasks, see `Options`.

    Raises:
        UnknownNameError: an unknown split, scheme or option.
        ConfigError: the panel would be empty or too long.
        DataError: the data are missing or damaged.
    """
    check_list("task_types", task_types)
    check_integer("count", count, optional=True)
    check_integer("seed", seed, least=0, optional=True)
    chosen = Options.read(options)
    catalogue = chosen.open_catalogue()
    goals = chosen.goals(catalogue)
    start, stop = split_bounds(split, split_scheme, len(goals))
    order: Sequence[int] = range(start, stop)
    if seed is not None:
        order = list(order)
        Random(seed).shuffle(order)
    if count is None and len(order) > MOST_TASKS:
        raise ConfigError(
            f"Split {split!r} has {len(order)} goals; give `count`, at most {MOST_TASKS}."
        )
    tasks = _tasks(split, order, count, catalogue, goals, chosen, set(task_types), options)
    panel = TaskPanel.of(f"webshop-{split}", tasks)
    if not panel:
        departments = ", ".join(sorted({goals[index].category for index in order}))
        raise ConfigError(
            f"No goal of split {split!r} is left: `task_types` is {list(task_types)}, and its "
            f"{len(order)} goals are of the departments: {departments or 'none'}."
        )
    return panel


def split_bounds(split: str, scheme: str, count: int) -> tuple[int, int]:
    """Return the first goal of a split and the one after its last.

    Args:
        split: its name.
        scheme: a name of `SCHEMES`.
        count: how many goals there are.
    """
    check_choice("WebShop", "split_scheme", scheme, SCHEMES)
    bounds = SCHEMES[scheme]
    name = "test" if split == "heldout" else split
    if name not in bounds:
        raise unknown_name(f"WebShop split (scheme {scheme!r})", split, [*bounds, "heldout"])
    if count < ENOUGH_GOALS:
        test = max(1, count // 10)
        middle = test + max(1, count // 5) if "eval" in bounds else test
        bounds = {"test": (0, test), "eval": (test, middle), "train": (middle, None)}
    start, stop = bounds[name]
    return min(start, count), count if stop is None else min(stop, count)


def task_digest(catalogue: Catalogue, goal: Goal) -> str:
    """Return a digest of the goal and of the whole catalogue it is looked for in."""
    return hashlib.sha256((catalogue.digest + goal.digest()).encode()).hexdigest()[:16]


def checked_goal(options: Options, catalogue: Catalogue, goals: GoalSet, index: int) -> Goal:
    """Return a goal, having compared its digest.

    Raises:
        ConfigError: there is no such goal.
        DataError: the data are not those the task was made for.
    """
    if index >= len(goals):
        raise ConfigError(f"`goal` is {index}; there are goals 0 to {len(goals) - 1}.")
    goal = goals[index]
    if options.digest is not None and options.digest != (found := task_digest(catalogue, goal)):
        raise DataError(
            f"Goal {index} and its catalogue have digest {found}, but the task was made for "
            f"{options.digest}: the WebShop data have changed. Restore them or make a new panel."
        )
    return goal


def _tasks(
    split: str,
    order: Sequence[int],
    count: int | None,
    catalogue: Catalogue,
    goals: GoalSet,
    chosen: Options,
    task_types: set[str],
    options: Mapping[str, Any],
) -> Iterator[Task]:
    made = 0
    for index in order:
        goal = goals[index]
        if task_types and goal.category not in task_types:
            continue
        if count is not None and made >= count:
            return
        made += 1
        yield Task(
            id=f"{'human' if chosen.human_goals else 'goal'}-{index}",
            env_id=ENV_ID,
            seed=index,
            options={
                **_identity(chosen),
                **options,
                "goal": index,
                "digest": task_digest(catalogue, goal),
            },
            split=split,
            task_type=goal.category,
        )


def _identity(chosen: Options) -> dict[str, Any]:
    """Return the options that name the goals, so that a change of their defaults is seen."""
    names = ["catalogue", "human_goals", "price_seed", "goal_seed"]
    if chosen.catalogue == "generated":
        names += ["style", "size", "catalogue_seed"]
    known = {field.name for field in fields(Options)}
    return {name: getattr(chosen, name) for name in names if name in known}
