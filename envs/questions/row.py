"""A row of a file, read by the many names that its columns go by.

Names are compared without case, and `_`, `-` and a space are one character, so that
`Final answer`, `final_answer` and `FINAL-ANSWER` are the same column.  A dot descends:
`reward_model.ground_truth`; through a list it takes the first element.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.errors import DataError

IDS = ("id",)


class Row:
    """One row.

    Args:
        values: by column.
        place: where it stands, for errors.
        folder: in which its file lies, for attachments.
    """

    def __init__(self, values: Mapping[str, Any], place: str, folder: Path) -> None:
        self.values = values
        self.place = place
        self.folder = folder
        self._folded = _fold_keys(values)

    def get(self, *names: str) -> Any:
        """Return the first of these columns that has a value; None without one."""
        for name in names:
            value = self._find(name)
            if value is not None:
                return value
        return None

    def need(self, *names: str) -> Any:
        """Return the first of these columns that has a value.

        Raises:
            DataError: there is none; the message says what there is.
        """
        value = self.get(*names)
        if value is None:
            raise DataError(
                f"{self.place} has no {' or '.join(map(repr, names))}; its columns are "
                f"{', '.join(map(repr, self.values)) or 'none'}."
            )
        return value

    def text(self, *names: str) -> str:
        """Return a column as text without space around it; empty without a value."""
        return text_of(self.get(*names))

    def need_text(self, *names: str) -> str:
        """Return a column as text; it must be there and not blank.

        Raises:
            DataError: it is missing or blank.
        """
        text = text_of(self.need(*names))
        if not text:
            raise DataError(f"{self.place} has nothing in {' or '.join(map(repr, names))}.")
        return text

    def inner(self, name: str) -> Row:
        """Return a column that holds columns of its own, or this row where it does not."""
        value = self._find(name)
        return Row(value, self.place, self.folder) if isinstance(value, Mapping) else self

    def id_or_hash(self, question: str, *names: str) -> str:
        """Return the row's id, or the SHA-1 of its question where it has none."""
        return self.text(*(names or IDS)) or hash_of(question)

    def _find(self, name: str) -> Any:
        value: Any = self._folded
        for part in name.split("."):
            if isinstance(value, list) and value:
                value = value[0]
            if not isinstance(value, Mapping):
                return None
            value = (value if value is self._folded else _fold_keys(value)).get(fold(part))
        return value


def hash_of(question: str) -> str:
    """Return the id of a question that has none."""
    return hashlib.sha1(
        question.encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).hexdigest()


def fold(name: str) -> str:
    """Return a column's name without case and with `_` for `-` and spaces."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _fold_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    return {fold(key): value for key, value in values.items() if isinstance(key, str)}


def text_of(value: Any) -> str:
    """Return a value as text: whole floats without the point, lines ending with a newline only."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).replace("\r\n", "\n").strip()


def texts_of(value: Any) -> tuple[str, ...]:
    """Return a value or each of a list as text; blank and repeated ones are left out."""
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(dict.fromkeys(text for item in several if (text := text_of(item))))
