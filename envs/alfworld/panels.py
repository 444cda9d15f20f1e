"""Task panels: the published splits in a fixed order, or generated games."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agentrl.envs.alfworld.data import open_split
from agentrl.envs.alfworld.generated import generated_game
from agentrl.envs.alfworld.layouts import SPLITS, TASK_TYPES, content_digest
from agentrl.envs.alfworld.options import Options
from agentrl.envs.alfworld.packed import Entry
from agentrl.envs.alfworld.store import Wanted, prepare
from agentrl.envs.options import check_choice, check_integer, check_list
from agentrl.errors import ConfigError, unknown_name
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/ALFWorld-v0"

ALIASES: Mapping[str, str] = {"heldout": "valid_unseen"}
"""Other names of splits; `heldout` is the out-of-distribution evaluation split."""

FIRST_SEED: Mapping[str, int] = {
    "train": 0,
    "valid_seen": 1_000_000,
    "valid_unseen": 2_000_000,
    "valid_train": 3_000_000,
}
"""Generated games: each split draws its seeds from a range of its own."""

SEEDS_PER_SPLIT = 1_000_000


def alfworld_panel(
    split: str,
    *,
    count: int | None = None,
    seed: int | None = None,
    task_types: Sequence[str] = (),
    generated: bool = False,
    **options: Any,
) -> TaskPanel:
    """Return the tasks of a split, ordered by game id.

    Args:
        split: `train`, `valid_seen`, `valid_unseen`, `valid_train`, or `heldout`, which is
            `valid_unseen`.
        count: the first so many tasks; default all (of generated games 100).
        seed: shuffles the tasks; default by id.  Of generated games: offset of their seeds.
        task_types: only games of these types, of the six in `layouts.TASK_TYPES`.
        generated: games in our own household instead of the published ones; no data needed.
        options: options common to all tasks, for example `max_steps=30`, `data_dir="..."`.

    Raises:
        UnknownNameError: unknown split, task type or option.
        ConfigError: `count` or `seed` out of range.
        DataError: the games are missing or damaged.
    """
    name = ALIASES.get(split, split)
    if name not in SPLITS:
        raise unknown_name("split of agentrl/ALFWorld-v0", split, [*SPLITS, *ALIASES])
    check_list("task_types", task_types)
    for kind in task_types:
        check_choice("ALFWorld", "task_types", kind, TASK_TYPES)
    check_integer("count", count, optional=True)
    check_integer("seed", seed, least=0, optional=True)
    Options.read(options)
    if generated:
        tasks = _generated(split, name, count or 100, seed or 0, tuple(task_types), options)
        return TaskPanel.of(f"alfworld-generated-{split}", tasks)
    entries = open_split(name, options.get("data_dir")).entries()
    if task_types:
        entries = [entry for entry in entries if entry.task_type in task_types]
    if seed is not None:
        random.Random(seed).shuffle(entries)
    tasks = (_published(split, name, entry, options) for entry in entries[:count])
    return TaskPanel.of(f"alfworld-{split}", tasks)


def prepare_panel(panel: Iterable[Task], workers: int | None = None, quiet: bool = False) -> int:
    """Translate the games of a panel that are not translated yet; see `store.prepare`."""
    wanted = [
        Wanted(task.options["digest"], task.options, task.seed)
        for task in panel
        if task.options.get("engine", "compact") == "compact" and "digest" in task.options
    ]
    return prepare(wanted, workers, quiet)


def _published(split: str, name: str, entry: Entry, options: Mapping[str, Any]) -> Task:
    return Task(
        id=entry.id,
        env_id=ENV_ID,
        seed=0,
        options={**options, "game": entry.id, "split": name, "digest": entry.digest},
        split=split,
        task_type=entry.task_type,
    )


def _generated(
    split: str,
    name: str,
    count: int,
    seed: int,
    task_types: tuple[str, ...],
    options: Mapping[str, Any],
) -> Iterator[Task]:
    """Yield `count` generated games; the task types take turns."""
    if seed < 0 or seed + count > SEEDS_PER_SPLIT:
        raise ConfigError(
            f"`seed` must be at least 0 and `seed` + `count` at most {SEEDS_PER_SPLIT}; got "
            f"seed={seed}, count={count}."
        )
    kinds = task_types or TASK_TYPES
    for number in range(count):
        game_seed = FIRST_SEED[name] + seed + number
        game = generated_game(game_seed, kinds[number % len(kinds)])
        digest = content_digest(game.content)
        yield Task(
            id=game.id,
            env_id=ENV_ID,
            seed=game_seed,
            options={**options, "task_type": game.task_type, "digest": digest},
            split=split,
            task_type=game.task_type,
        )
