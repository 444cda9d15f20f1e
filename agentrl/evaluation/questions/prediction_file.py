"""Files of predictions: JSON lines, each written when its sample has ended.

    {"schema": 1, "run": {"questions": "gaia/validation", "hash": ..., "agent": ..., ...}}
    {"id": ..., "sample": 0, "prediction": "408", "stop": "answered", "calls": 2, ...}

The first line may be missing in a file from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from agentrl.errors import DataError
from agentrl.evaluation.questions.prediction import Prediction

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """What a file of predictions is about.

    Attributes:
        questions: label of the question set.
        hash: its content hash.
        agent: who answered.
        samples: per question.
        settings: how: model, temperature, tools, limits.
        versions: of the packages involved.
    """

    questions: str
    hash: str
    agent: str = ""
    samples: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the header as a JSON object."""
        return asdict(self)


def read_predictions(path: Path) -> tuple[RunHeader | None, list[Prediction]]:
    """Return the header, None in a file without one, and the predictions.

    A last line that was cut short is left out; of two lines for one sample the later counts.

    Raises:
        DataError: there is no such file, or a line in its middle is damaged.
    """
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} of predictions.")
    lines = path.read_text(encoding="utf-8").split("\n")
    header: RunHeader | None = None
    found: dict[tuple[str, int], Prediction] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            if number == 1 and "run" in data:
                header = _header(data)
                continue
            prediction = Prediction.from_json(data)
        except (ValueError, TypeError, AttributeError) as error:
            if number == len(lines):  # written while the process was killed
                break
            raise DataError(f"Line {number} of {str(path)!r} is damaged: {error}") from error
        found[prediction.id, prediction.sample] = prediction
    return header, list(found.values())


def _header(data: Mapping[str, Any]) -> RunHeader:
    if data.get("schema") != SCHEMA:
        raise DataError(f"schema {data.get('schema')} is unknown; this version reads {SCHEMA}.")
    return RunHeader(**data["run"])


class PredictionWriter:
    """Appends predictions to a file, each at once; use as a context manager.

    Args:
        path: the file; its folder is made.
        header: what it is about.
        done: predictions to begin with, of a run that is gone on with.
    """

    def __init__(self, path: Path, header: RunHeader, done: Iterable[Prediction] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        with partial.open("w", encoding="utf-8") as file:
            _write(file, {"schema": SCHEMA, "run": header.to_json()})
            for prediction in done:
                _write(file, prediction.to_json())
        partial.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, prediction: Prediction) -> None:
        """Append one prediction; it survives the end of the process."""
        _write(self._file, prediction.to_json())
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _write(file: IO[str], data: Mapping[str, Any]) -> None:
    file.write(json.dumps(data, ensure_ascii=True) + "\n")
