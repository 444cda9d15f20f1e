"""Cases as JSON lines: one object with `task`, `plan` and `reward` a line."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from agentrl.algorithms.memory.cases.case import Case
from agentrl.errors import DataError


def line(case: Case) -> bytes:
    """Return the line of a case."""
    return json.dumps(asdict(case), ensure_ascii=False).encode() + b"\n"


def append(path: Path, case: Case) -> None:
    """Add a case at the end; what a killed writer left of a line is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _cut_partial_line(file)
        file.write(line(case))
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, cases: Iterable[Case]) -> None:
    """Replace the file in one step: a reader sees the old cases or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(map(line, cases))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path) -> list[Case]:
    """Return the cases of a file; a last line without its end was not finished and is left out.

    Raises:
        DataError: a line is not a case; the message names it.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_parse(path, number, text) for number, text in enumerate(lines, 1)]


def case_of(values: object) -> Case:
    """Return the case of a decoded object, or raise `ValueError`."""
    match values:
        case {"task": str(task), "plan": str(plan), "reward": int(reward) | float(reward)}:
            return Case(task, plan, float(reward))
    raise ValueError("not an object with the texts `task` and `plan` and the number `reward`")


def _parse(path: Path, number: int, text: bytes) -> Case:
    try:
        return case_of(json.loads(text))
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {error}") from error


def _cut_partial_line(file: BinaryIO) -> None:
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(end - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
