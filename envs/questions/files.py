"""Rows of local files: JSON lines, a JSON list, CSV, TSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.envs.extras import require
from agentrl.envs.questions.row import Row
from agentrl.errors import DataError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_LISTS = ("Data", "data", "rows", "examples")
"""Keys under which a JSON object may hold its rows."""


def find_files(folder: Path, stems: Sequence[str]) -> list[Path]:
    """Return the first of these files that is there, or all shards of it.

    Args:
        folder: where to look.
        stems: paths below it without suffix; `*` stands for anything, for shards.
    """
    for stem in stems:
        for suffix in SUFFIXES:
            if found := sorted(folder.glob(stem + suffix)):
                return found
    return []


def read_rows(path: Path) -> list[Row]:
    """Read a file.

    Raises:
        DataError: it is of another kind or damaged.
        MissingExtraError: it is Parquet and pyarrow is not installed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{str(path)!r} cannot be read; accepted are {', '.join(SUFFIXES)}.")
    rows = []
    for number, values in reader(path):
        place = f"{path.name}, row {number}"
        if not isinstance(values, Mapping):
            raise DataError(f"{place} of {str(path)!r} is no JSON object: {str(values)[:60]!r}.")
        rows.append(Row(values, place, path.parent))
    return rows


def text_of_file(path: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is not UTF-8: {error}.") from error


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    r"""Split at `\n` only: a question may hold U+2028, at which `splitlines` would cut."""
    for number, line in enumerate(text_of_file(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise DataError(f"Line {number} of {str(path)!r} is no JSON: {error}.") from error


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    """Read a list, an object that holds one, or lines under the wrong name."""
    try:
        data = json.loads(text_of_file(path))
    except ValueError:
        yield from _lines(path)
        return
    if isinstance(data, Mapping):
        data = next((data[key] for key in _LISTS if isinstance(data.get(key), list)), [data])
    if not isinstance(data, list):
        raise DataError(f"{str(path)!r} holds {type(data).__name__} instead of a list of rows.")
    yield from enumerate(data, start=1)


def _table(path: Path) -> Iterator[tuple[int, Any]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text_of_file(path), newline=""), delimiter=delimiter)
    try:
        for number, values in enumerate(reader, start=1):
            if None in values or None in values.values():
                raise DataError(
                    f"Row {number} of {str(path)!r} has more or fewer fields than the "
                    f"header, {', '.join(map(repr, reader.fieldnames or []))}."
                )
            yield number, values
    except csv.Error as error:
        raise DataError(f"{str(path)!r} is no CSV: {error}.") from error


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    parquet = require("pyarrow.parquet", extra="parquet", needed_for=f"reading {path.name}")
    yield from enumerate(parquet.read_table(path).to_pylist(), start=1)


_READERS = {
    ".jsonl": _lines,
    ".json": _json,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _parquet,
}
