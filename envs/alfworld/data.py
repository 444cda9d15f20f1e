"""Finding, checking and preparing the games that users have."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrl.envs.alfworld.layouts import SPLITS, content_digest, read_split, split_files
from agentrl.envs.alfworld.packed import Entry, PackedSplit, packed_split, write_packed
from agentrl.envs.data import data_directory
from agentrl.errors import DataError, unknown_name

LAYOUTS = (
    "It must hold `json_2.1.1/<split>/<task>/<trial>/game.tw-pddl` (from `alfworld-download`), or "
    "`<split>.jsonl.xz` with `domain.pddl` and `grammar.twl2`, or `<split>.sqlite` (from "
    "`agentrl data alfworld`)"
)


def instructions() -> str:
    """Return how to get the games."""
    return f"""\
ALFWorld's text games (MIT licence, 4,027 games) come from the ALFWorld authors:

  pip install alfworld          # in an environment of its own; only its downloader is needed
  alfworld-download --data-dir DIRECTORY

The downloader fetches json_2.1.1_json.zip, json_2.1.1_pddl.zip and json_2.1.1_tw-pddl.zip from
https://aka.ms/alfworld/; the last one alone (https://aka.ms/alfworld/json_2.1.1_tw-pddl.zip) is
enough. Unpacked it looks like this:

  DIRECTORY/json_2.1.1/train/pick_and_place_simple-.../trial_.../game.tw-pddl    3,553 games
  DIRECTORY/json_2.1.1/valid_seen/...                                              140 games
  DIRECTORY/json_2.1.1/valid_unseen/...                                            134 games
  DIRECTORY/json_2.1.1/valid_train/...                                             200 games

The directory is looked for in the option `data_dir`, in $AGENTRL_DATA/alfworld, in
{str(data_directory("alfworld"))!r}, in $ALFWORLD_DATA and in ~/.cache/alfworld.
No data at all is needed for generated games: panel option `generated: true`."""


def find_directory(chosen: str | Path | None = None) -> Path:
    """Return the data directory.

    Args:
        chosen: the option `data_dir`; nothing else is looked at where it is given.

    Raises:
        DataError: there is none.
    """
    places = [data_directory("alfworld", chosen)]
    if chosen is None:
        if root := os.environ.get("ALFWORLD_DATA"):
            places.append(Path(root).expanduser().absolute())
        places.append(Path.home() / ".cache" / "alfworld")
    for place in places:
        if place.is_dir():
            return place
    raise DataError(
        f"There are no ALFWorld games in {' or '.join(repr(str(p)) for p in places)}. "
        "`agentrl data alfworld` says how to get and check them; set `data_dir` or AGENTRL_DATA if "
        "they lie elsewhere, or play generated games with the panel option `generated: true`."
    )


def open_split(split: str, chosen: str | Path | None = None) -> PackedSplit:
    """Return the games of a split.

    Raises:
        UnknownNameError: there is no such split.
        DataError: the directory is missing or is another one, or files in it are damaged.
    """
    if split not in SPLITS:
        raise unknown_name("ALFWorld split", split, SPLITS)
    directory = find_directory(chosen)
    packed = packed_split(directory, split)
    if packed is None:
        raise DataError(
            f"{str(directory)!r} has no ALFWorld games of split {split!r}. {LAYOUTS}. "
            "`agentrl data alfworld` says how to get them; games with `generated=true` need none."
        )
    broken = packed.broken()
    if broken:
        first = broken[0]
        raise DataError(
            f"{len(broken)} file(s) of ALFWorld split {split!r} cannot be read, first "
            f"{str(first.path)!r}: {first.reason}. Download or copy them again, or remove them."
        )
    return packed


def read_game(
    split: str, game_id: str, digest: str | None, chosen: str | Path | None = None
) -> Mapping[str, Any]:
    """Return a game's content.

    Raises:
        DataError: it is missing, or its content is not what `digest` says.
    """
    packed = open_split(split, chosen)
    content = packed.read(game_id)
    if content is None:
        raise DataError(
            f"There is no ALFWorld game {game_id!r} in split {split!r} of "
            f"{str(find_directory(chosen))!r}; the panel was made from other data."
        )
    found = content_digest(content)
    if digest not in (None, found):
        raise DataError(
            f"ALFWorld game {game_id!r} has content {found}, but the task was made for {digest}; "
            "restore the data or make the panel anew."
        )
    return content


def check(path: Path) -> list[str]:
    """Return a report on a data directory, one line for each split.

    Raises:
        DataError: it holds no games at all, or damaged ones.
    """
    if not path.is_dir():
        raise DataError(f"{str(path)!r} is no directory.")
    lines, damaged = [], []
    for split, published in SPLITS.items():
        packed = packed_split(path, split)
        if packed is None:
            lines.append(f"{split}: missing ({published} games published)")
            continue
        lines.append(_describe(split, published, packed.entries()))
        damaged += [f"{b.path}: {b.reason}" for b in packed.broken()]
    if all(": missing" in line for line in lines):
        raise DataError(f"{str(path)!r} has no ALFWorld games. {LAYOUTS}.")
    if damaged:
        raise DataError(
            f"{len(damaged)} file(s) in {str(path)!r} cannot be read, first {damaged[0]}. "
            "Download or copy them again, or remove them."
        )
    return lines


check_data = check


def prepare(source: Path, target: Path) -> list[str]:
    """Pack the games of `source` into `target`, one file for each split; return a report.

    Raises:
        DataError: `source` holds no games, or damaged ones.
    """
    lines = check(source)
    for split in SPLITS:
        if (source / f"{split}.sqlite").is_file() and source.resolve() == target.resolve():
            continue
        packed = packed_split(source, split)
        if packed is not None:
            games = read_split(source, split) if split_files(source, split) else _unpacked(packed)
            write_packed(games, target / f"{split}.sqlite")
            lines.append(f"wrote {target / f'{split}.sqlite'}")
    return lines


def _unpacked(packed: PackedSplit) -> Any:
    from agentrl.envs.alfworld.layouts import Game

    for entry in packed.entries():
        content = packed.read(entry.id)
        assert content is not None
        yield Game(entry.id, content)


def _describe(split: str, published: int, entries: list[Entry]) -> str:
    types = Counter(entry.task_type for entry in entries)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(types.items()))
    state = "complete" if len(entries) == published else f"{published} published"
    return f"{split}: {len(entries)} games ({state}): {counts}"
