r"""Passages of a corpus: read from JSON lines, kept in a folder that processes map into memory.

A line is `{"id": "0", "contents": "\"Title\"\ntext"}` as in PeterGriffinJin/Search-R1, or
`{"title": ..., "text": ...}`; more keys are allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentrl.envs.arrays import Records
from agentrl.errors import DataError
from agentrl.tools.search.hit import SearchHit, joined_contents, split_contents

NAME = "passages"
"""Of the records in an index folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One passage.

    Attributes:
        id: unique within its corpus.
        contents: the title in quotes, a new line, the text.
    """

    id: str
    contents: str

    def dump(self) -> bytes:
        """Return it as one JSON line without its end."""
        return json.dumps({"id": self.id, "contents": self.contents}, ensure_ascii=False).encode()

    @classmethod
    def parse(cls, line: bytes, number: int) -> Passage:
        """Read a line of a corpus; `number`, from 0, is the id where it has none.

        Raises:
            ValueError: it is no passage; the message says why.
        """
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("it is not an object")
        contents = row.get("contents")
        if contents is None and isinstance(row.get("text"), str):
            contents = joined_contents(str(row.get("title", "")), row["text"])
        if not isinstance(contents, str):
            raise ValueError("it has neither a text `contents` nor a text `text`")
        return cls(id=str(row.get("id", number)), contents=contents)

    def hit(self, score: float) -> SearchHit:
        """Return it as a hit."""
        title, text = split_contents(self.contents)
        return SearchHit(
            title=title,
            snippet=text,
            score=score,
            source="local",
            extra={"id": self.id, "contents": self.contents},
        )


def read_passages(path: Path) -> Iterator[Passage]:
    r"""Yield the passages of a JSON lines file; lines end with `\n` only, empty ones are skipped.

    Raises:
        DataError: there is no such file, or a line is no passage.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for place, line in enumerate(file, 1):
                if line.strip():
                    yield _parsed(path, place, line, number)
                    number += 1
    except OSError as error:
        raise DataError(f"The corpus {str(path)!r} cannot be read: {error}.") from error


def _parsed(path: Path, place: int, line: bytes, number: int) -> Passage:
    try:
        return Passage.parse(line, number)
    except ValueError as error:
        raise DataError(
            f"Line {place} of the corpus {str(path)!r} is no passage: {error}. A line is "
            '{"id": ..., "contents": "\\"Title\\"\\ntext"} or {"title": ..., "text": ...}.'
        ) from error


class Passages:
    """The passages of an index folder, by number; several processes share one copy."""

    def __init__(self, folder: Path) -> None:
        self._records = Records(folder, NAME)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, number: int) -> Passage:
        return Passage(**json.loads(self._records[number]))
