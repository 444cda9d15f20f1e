"""Which questions of a set to keep: those on a list of ids, of some levels, the first few."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentrl.envs.questions.files import read_rows, text_of_file
from agentrl.envs.questions.question import Question
from agentrl.errors import ConfigError, DataError

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which questions of a split to keep.

    Attributes:
        ids: a file of ids (see `read_ids`), for example GAIA's text-only subset of 103.
        levels: keep only these.
        limit: keep only the first so many; 0 keeps all.
    """

    ids: Path | None = None
    levels: tuple[str, ...] = ()
    limit: int = 0

    @property
    def label(self) -> str:
        """Say what is selected, in a few characters."""
        parts = [self.ids.stem] if self.ids else []
        parts += [f"level{'+'.join(self.levels)}"] if self.levels else []
        parts += [f"first{self.limit}"] if self.limit else []
        return "-".join(parts)

    def of(self, questions: Sequence[Question]) -> list[Question]:
        """Return the questions to keep, in the order of the set.

        Raises:
            DataError: a listed id is not in the set.
            ConfigError: a level does not occur.
        """
        kept = list(questions)
        if self.ids is not None:
            kept = with_ids(kept, read_ids(self.ids), str(self.ids))
        if self.levels:
            kept = with_levels(kept, self.levels)
        return kept[: self.limit or None]


def read_ids(path: Path) -> list[str]:
    """Return the ids in a file: one a line in `.txt`, or the rows of a copy of the subset.

    A row's id is its `task_id`, `id` or `_id`; a JSON list may also hold the ids themselves.

    Raises:
        DataError: there is no such file, or it holds no ids.
    """
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} of question ids.")
    if path.suffix.lower() == ".txt":
        ids = [line.strip() for line in text_of_file(path).split("\n") if line.strip()]
    elif plain := _plain_list(path):
        ids = plain
    else:
        ids = [row.need_text("task_id", "id", "_id") for row in read_rows(path)]
    if not ids:
        raise DataError(f"{str(path)!r} holds no question ids.")
    return list(dict.fromkeys(ids))


def _plain_list(path: Path) -> list[str] | None:
    if path.suffix.lower() != ".json":
        return None
    try:
        data = json.loads(text_of_file(path))
    except ValueError:
        return None
    plain = isinstance(data, list) and all(isinstance(item, str) for item in data)
    return list(data) if plain else None


def with_ids(questions: Sequence[Question], ids: Sequence[str], where: str) -> list[Question]:
    """Return the questions with these ids, in the order of the set.

    Raises:
        DataError: an id is not in the set.
    """
    wanted = set(ids)
    unknown = sorted(wanted - {row.id for row in questions})
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise DataError(
            f"{where} names questions that are not in the set: {', '.join(unknown[:_SHOWN])}{more}."
        )
    return [row for row in questions if row.id in wanted]


def with_levels(questions: Sequence[Question], levels: Sequence[str]) -> list[Question]:
    """Return the questions of these levels.

    Raises:
        ConfigError: a level does not occur.
    """
    known = sorted({row.level for row in questions})
    for level in levels:
        if level not in known:
            raise ConfigError(f"There is no level {level!r}; the set has {', '.join(known)}.")
    return [row for row in questions if row.level in levels]
