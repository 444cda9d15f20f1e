"""Reads the games of a split from the layouts in which users have them.

json_2.1.1/<split>/<type-object-...>/<trial>/game.tw-pddl   as `alfworld-download` leaves them
<split>.jsonl.xz with domain.pddl and grammar.twl2          one record a line
<split>.sqlite                                              our own (`packed`)
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl.errors import DataError

SPLITS: Mapping[str, int] = {
    "train": 3553,
    "valid_seen": 140,
    "valid_unseen": 134,
    "valid_train": 200,
}
"""The published number of games of each split."""

TASK_TYPES = (
    "look_at_obj_in_light",
    "pick_and_place_simple",
    "pick_clean_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_two_obj_and_place",
)

GAME_KEYS = ("pddl_domain", "grammar", "pddl_problem")
PLACEHOLDER = "UNKNOWN GOAL"
_NO_TEXT_GAME = ("movable", "Sliced")
"""Trajectories whose folders name these have no text game (alfworld skips them too)."""


@dataclass(frozen=True, slots=True)
class Game:
    """A game as TextWorld's `PddlEnv` takes it, and what it is called.

    Attributes:
        id: `<type>-<object>-<movable receptacle>-<target>-<scene>/<trial>`.
        content: `pddl_domain`, `grammar`, `pddl_problem`, `walkthrough`, `solvable`.
    """

    id: str
    content: Mapping[str, Any]

    @property
    def task_type(self) -> str:
        """The first part of the id."""
        return self.id.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that should hold a game and does not."""

    path: Path
    reason: str


def content_digest(content: Mapping[str, Any]) -> str:
    """Return 16 hex digits that identify what a game is."""
    fields = [*(content[key] for key in GAME_KEYS), list(content.get("walkthrough") or [])]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]


def split_files(directory: Path, split: str) -> list[Path]:
    """Return the files that hold a split, in order; empty if the directory lacks it."""
    packed = directory / f"{split}.jsonl.xz"
    if packed.is_file():
        return [packed, directory / "domain.pddl", directory / "grammar.twl2"]
    for root in (directory / "json_2.1.1" / split, directory / split):
        if root.is_dir():
            return sorted(p for p in root.glob("*/*/game.tw-pddl") if _is_text_game(p))
    return []


def read_split(directory: Path, split: str) -> Iterator[Game | Broken]:
    """Yield the games of a split; unsolvable ones are left out, as in alfworld."""
    files = split_files(directory, split)
    if files and files[0].name.endswith(".jsonl.xz"):
        yield from _read_records(*files)
        return
    for path in files:
        game = _read_game(path)
        if isinstance(game, Broken) or game.content.get("solvable", True):
            yield game


def check_content(content: Any) -> Mapping[str, Any]:
    """Return a game's content if it has the form TextWorld expects.

    Raises:
        DataError: it lacks a part, or a part is no text.
    """
    if not isinstance(content, dict):
        raise DataError("it is not a JSON object")
    for key in GAME_KEYS:
        if not isinstance(content.get(key), str) or not content[key].strip():
            raise DataError(f"it lacks the text {key!r}")
    walkthrough = content.get("walkthrough") or []
    if not isinstance(walkthrough, list) or not all(isinstance(c, str) for c in walkthrough):
        raise DataError("its 'walkthrough' is not a list of commands")
    return content


def _is_text_game(path: Path) -> bool:
    return not any(word in "/".join(path.parts[-3:-1]) for word in _NO_TEXT_GAME)


def _read_game(path: Path) -> Game | Broken:
    try:
        content = check_content(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        return Broken(path, str(error))
    return Game(f"{path.parent.parent.name}/{path.parent.name}", content)


def _read_records(path: Path, domain_path: Path, grammar_path: Path) -> Iterator[Game | Broken]:
    try:
        domain, grammar = domain_path.read_text("utf-8"), grammar_path.read_text("utf-8")
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                content = {
                    "pddl_domain": domain,
                    "grammar": grammar.replace(PLACEHOLDER, record["task"]),
                    "pddl_problem": record["pddl_problem"],
                    "walkthrough": record.get("walkthrough") or [],
                    "solvable": record.get("solvable", True),
                }
                yield Game(record["id"], check_content(content))
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        yield Broken(path, f"{type(error).__name__}: {error}")
