"""Task panels of generated games: explicit, ordered, with disjoint splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.envs.textworld.options import Options
from agentrl.envs.textworld.store import prepare
from agentrl.errors import ConfigError, DataError, unknown_name
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/TextWorld-v0"

FIRST_SEED: Mapping[str, int] = {"train": 0, "heldout": 1_000_000, "test": 2_000_000}
"""Each split draws its generator seeds from a range of its own."""

SEEDS_PER_SPLIT = 1_000_000


def textworld_panel(
    split: str,
    *,
    count: int = 100,
    seed: int = 0,
    kind: str = "coin_collector",
    levels: Sequence[int] = (),
    mixture: Sequence[Mapping[str, Any]] = (),
    game_files: Sequence[str] = (),
    **options: Any,
) -> TaskPanel:
    """Return `count` games of a split.

    Task i has generator seed `FIRST_SEED[split] + seed + i` and takes entry `i % len(mixture)` of
    the mixture, so the order is fixed, a longer panel begins with the shorter one, and panels of
    different splits never share a seed.

    Args:
        split: `train`, `heldout` or `test`.
        count: number of games (ignored for `game_files`).
        seed: offset of the generator seeds, for another panel of the same split.
        kind: game kind where no mixture is given.
        levels: difficulty levels to cycle through (coin collector and treasure hunter).
        mixture: one entry per sort of game: `{"kind": ..., setting: ...}`; an entry may have
            `levels`, which then counts as one entry per level.
        game_files: play these files instead, one task each, with their content hash.
        options: options common to all tasks, for example `max_steps=12`, `backend="prose"`.

    Raises:
        UnknownNameError: unknown split, kind or option.
        ConfigError: `count` or `seed` out of range.
    """
    if split not in FIRST_SEED:
        raise unknown_name("split of agentrl/TextWorld-v0", split, FIRST_SEED)
    if game_files:
        return TaskPanel.of(f"textworld-{split}", _file_tasks(split, game_files, options))
    if count < 1 or seed < 0 or seed + count > SEEDS_PER_SPLIT:
        raise ConfigError(
            f"`count` must be at least 1, `seed` at least 0 and their sum at most "
            f"{SEEDS_PER_SPLIT}; got count={count}, seed={seed}."
        )
    single = {"kind": kind, "levels": list(levels)} if levels else {"kind": kind}
    entries = [{**options, **entry} for entry in _expand(mixture or [single])]
    first = FIRST_SEED[split] + seed
    tasks = (_generated_task(split, first + i, entries[i % len(entries)]) for i in range(count))
    return TaskPanel.of(f"textworld-{split}", tasks)


def prepare_panel(panel: Iterable[Task], workers: int | None = None, quiet: bool = False) -> int:
    """Generate the games of a panel that are not cached yet; see `store.prepare`."""
    games = []
    for task in panel:
        options = Options.read(task.options)
        if options.game_file is None:
            games.append((options.spec(task.seed), options.backend))
    return prepare(games, workers, quiet)


def _expand(mixture: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in mixture:
        rest = {name: value for name, value in entry.items() if name != "levels"}
        if "levels" in entry:
            yield from ({**rest, "level": int(level)} for level in entry["levels"])
        else:
            yield rest


def _generated_task(split: str, seed: int, options: Mapping[str, Any]) -> Task:
    spec = Options.read(options).spec(seed)
    return Task(
        id=spec.label,
        env_id=ENV_ID,
        seed=seed,
        options={"kind": spec.kind, **spec.settings, **options},
        split=split,
        task_type=spec.task_type,
    )


def _file_tasks(
    split: str, game_files: Sequence[str], options: Mapping[str, Any]
) -> Iterator[Task]:
    for number, name in enumerate(game_files):
        path = Path(name).expanduser()
        if not path.is_file():
            raise DataError(f"`game_files` entry {name!r} does not exist.")
        chosen = {
            **options,
            "game_file": str(path),
            "game_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        Options.read(chosen)
        yield Task(
            id=f"{number}-{path.stem}",
            env_id=ENV_ID,
            options=chosen,
            split=split,
            task_type="game_file",
        )
