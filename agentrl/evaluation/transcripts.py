"""Files of episodes that no model played: text, one JSON object a line, and a header.

    {"schema": 1, "evaluation": {"environment": ..., "agent": ..., "panel": {...}, ...}}
    {"schema": 1, "episode": {"task": ..., "success": 1.0, ..., "steps": 3, "text": {...}}}

An episode is written when it has ended, so a killed evaluation goes on where it was.  A file of a
model's episodes has trees instead (`agentrl.storage`) and the same header in its `forest` line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

from agentrl.errors import DataError
from agentrl.evaluation.record import EpisodeRecord, records_of
from agentrl.evaluation.table import EvaluationTable, PanelInfo, table_rows
from agentrl.storage import read_forest
from agentrl.tree import Forest
from agentrl.types import LOCATION_OPTIONS

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationHeader:
    """What a file of episodes is about; the attributes are those of `EvaluationTable`."""

    environment: str
    agent: str
    settings: Mapping[str, Any]
    panel: PanelInfo
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the header as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvaluationHeader:
        """Rebuild a stored header.

        Raises:
            DataError: keys are missing or unknown.
        """
        try:
            return cls(**{**data, "panel": PanelInfo(**data["panel"])})
        except (KeyError, TypeError) as error:
            raise DataError(f"Not the header of an evaluation: {error!r}") from error

    @property
    def episodes(self) -> int:
        """Episodes that the whole evaluation has."""
        per_task = int(self.settings.get("episodes_per_task", 1))
        return sum(self.panel.tasks.values()) * per_task


class EpisodeWriter:
    """Appends episodes to a file, each at once; use as a context manager.

    Args:
        path: the file; its folder is made.
        header: what it is about.
        done: episodes to begin with, of an evaluation that is gone on with.
    """

    def __init__(self, path: Path, header: EvaluationHeader, done: list[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        with partial.open("w", encoding="utf-8") as file:
            _write(file, {"evaluation": header.to_json()})
            for episode in done:
                _write(file, {"episode": episode})
        partial.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, episode: dict[str, Any]) -> None:
        """Append one episode; it survives the end of the process."""
        _write(self._file, {"episode": episode})
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _write(file: IO[str], data: dict[str, Any]) -> None:
    file.write(json.dumps({"schema": SCHEMA, **data}, ensure_ascii=True) + "\n")


def read_episodes(path: Path) -> tuple[EvaluationHeader, list[dict[str, Any]]]:
    """Return the header and the episodes of a file; a line cut short at the end is left out.

    Raises:
        DataError: it is no such file, or a line in its middle is damaged.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    whole = lines[:-1] if lines[-1] else lines
    try:
        data = [json.loads(line) for line in whole if line]
        schema, header = data[0]["schema"], data[0]["evaluation"]
        episodes = [item["episode"] for item in data[1:]]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{str(path)!r} holds no evaluation: {error!r}") from error
    if schema != SCHEMA:
        raise DataError(f"{str(path)!r} has schema {schema}; this version reads {SCHEMA}.")
    return EvaluationHeader.from_json(header), episodes


def unfinished(path: Path, header: EvaluationHeader) -> list[dict[str, Any]]:
    """Return the episodes to keep when an evaluation is asked for again.

    They are those that did not fail, if some are missing or have failed; none if the file is of
    another evaluation, or if all of it is there: then it is played anew.
    """
    if not path.is_file():
        return []
    try:
        found, episodes = read_episodes(path)
    except DataError:
        return []
    if json.dumps(found.to_json()) != json.dumps(header.to_json()):
        return []
    good = [item for item in episodes if not EpisodeRecord.from_json(item).failed]
    return good if len(good) < header.episodes else []


def read_evaluation(path: Path) -> tuple[EvaluationHeader, list[EpisodeRecord]]:
    """Read any file of episodes, an agent's or a model's, for scoring it again.

    Raises:
        DataError: there is no such file, or it is neither.
    """
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} of episodes.")
    with path.open("rb") as file:
        first = file.readline()
    if b'"forest"' not in first[:40]:
        header, episodes = read_episodes(path)
        return header, [EpisodeRecord.from_json(episode) for episode in episodes]
    forest = read_forest(path)
    return _forest_header(forest, path), records_of(forest)


def _forest_header(forest: Forest, path: Path) -> EvaluationHeader:
    if stored := forest.info.get("evaluation"):
        return EvaluationHeader.from_json(stored)
    if not forest.trees:
        raise DataError(f"{str(path)!r} holds no episodes.")
    types: dict[str, int] = {}
    for tree in forest.trees:
        types[tree.task.task_type] = types.get(tree.task.task_type, 0) + 1
    first = forest.trees[0].task
    panel = PanelInfo(
        split=first.split,
        name=str(forest.info.get("panel", "")),
        hash=str(forest.info.get("panel_hash", "")),
        tasks=types,
    )
    return EvaluationHeader(
        environment=first.env_id, agent=path.stem, settings={}, panel=panel, versions={}
    )


def assemble(
    results: list[tuple[EvaluationHeader, list[EpisodeRecord]]],
) -> EvaluationTable:
    """Put the splits of one agent together in a table.

    Raises:
        DataError: the files are of different environments, agents or settings.
    """
    first = results[0][0]
    for header, _ in results:
        ours = (header.environment, header.agent, dict(header.settings), dict(header.versions))
        wanted = (first.environment, first.agent, dict(first.settings), dict(first.versions))
        if ours != wanted:
            raise DataError(
                f"The files do not belong in one table: {header.agent} on {header.environment} "
                f"{dict(header.settings)} beside {first.agent} on {first.environment} "
                f"{dict(first.settings)}. Score them one at a time."
            )
    return EvaluationTable(
        environment=first.environment,
        agent=first.agent,
        settings=first.settings,
        panels=[header.panel for header, _ in results],
        versions=first.versions,
        rows=[row for header, records in results for row in table_rows(header.panel, records)],
    )


def panel_info(split: str, name: str, digest: str, types: list[str]) -> PanelInfo:
    """Describe a panel whose tasks have these types, in the order of their first task."""
    counts: dict[str, int] = {}
    for name_of_type in types:
        counts[name_of_type] = counts.get(name_of_type, 0) + 1
    return PanelInfo(split=split, name=name, hash=digest, tasks=counts)


def panel_setting(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what a table says of the panel's options; where the data lie is left out."""
    said = [f"{name}={value}" for name, value in options.items() if name not in LOCATION_OPTIONS]
    return {"panel": " ".join(said)} if said else {}
