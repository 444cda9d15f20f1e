"""Save trees and task panels as versioned JSON; loading gives back the identical objects.

A rollout file is JSON lines.  Its first line is the forest's header, every other line one whole
tree, written when the tree is finished, so a killed process loses at most the tree it was writing:

    {"schema": 1, "forest": {"step": 3}}
    {"schema": 1, "tree": {"id": "000003-0", "task": {...}, "nodes": [...], "episodes": [...]}}

Floats are written with all their digits; NaN and infinities as `NaN` and `Infinity`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from agentrl.errors import DataError
from agentrl.tree import Episode, Forest, Node, StopReason, Tree, Writer
from agentrl.types import JSON, Task, TaskPanel

SCHEMA = 1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TruncatedLine:
    """The last line of a file whose writer was killed; the tree in it is lost.

    Attributes:
        path: the file.
        line: number of the line, from 1.
        bytes: its length.
    """

    path: Path
    line: int
    bytes: int


class ForestWriter:
    """Writes the trees of one rollout as they finish; use as a context manager.

    Args:
        path: the file; its folder is made.  None writes nothing.
        info: the forest's tags.
        append: add to the trees that are already there (a truncated last line is cut off); by
            default they are replaced.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        info: Mapping[str, JSON] | None = None,
        append: bool = False,
    ) -> None:
        self._file: BinaryIO | None = None
        if path is None:
            return
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        started = append and _cut_truncated_line(file)
        self._file = file.open("ab" if append else "wb")
        if not started:
            self._write({"schema": SCHEMA, "forest": dict(info or {})})

    def write(self, tree: Tree) -> None:
        """Append a finished tree; it survives the end of the process.

        Raises:
            DataError: an `info` holds something that JSON cannot hold.
        """
        if self._file is not None:
            self._write({"schema": SCHEMA, "tree": tree_to_json(tree)})

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> ForestWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, data: JSON) -> None:
        assert self._file is not None
        self._file.write(_dump(data) + b"\n")
        self._file.flush()


def write_forest(forest: Forest, path: str | os.PathLike[str]) -> None:
    """Write a whole forest to a file, replacing it."""
    with ForestWriter(path, info=forest.info) as writer:
        for tree in forest.trees:
            writer.write(tree)


def read_forest(
    path: str | os.PathLike[str], on_truncated: Callable[[TruncatedLine], None] | None = None
) -> Forest:
    """Read a whole rollout file; arguments and errors are those of `iter_trees`."""
    forest = Forest()
    for data in _records(Path(path), on_truncated):
        if isinstance(data, Tree):
            forest.trees.append(data)
        else:
            forest.info |= data
    return forest


def iter_trees(
    path: str | os.PathLike[str], on_truncated: Callable[[TruncatedLine], None] | None = None
) -> Iterator[Tree]:
    """Yield the trees of a rollout file one by one.

    Args:
        path: the file.
        on_truncated: called if the last line is incomplete, which happens when the writer was
            killed; logs a warning by default.

    Raises:
        DataError: the file is missing or damaged, or has an unknown schema version.
    """
    return (data for data in _records(Path(path), on_truncated) if isinstance(data, Tree))


def tree_to_json(tree: Tree) -> dict[str, JSON]:
    """Return a tree as a JSON object; dictionaries and lists are shared, not copied."""
    return {
        "id": tree.id,
        "task": tree.task.to_json(),
        "nodes": [_fields(node) for node in tree.nodes],
        "episodes": [_fields(episode) for episode in tree.episodes],
        "info": tree.info,
    }


def tree_from_json(data: Mapping[str, JSON]) -> Tree:
    """Rebuild a tree from `tree_to_json`.

    Raises:
        DataError: a field is missing, unknown or inconsistent.
    """
    try:
        nodes = [
            Node(
                **node
                | {
                    "writer": Writer(node["writer"]),
                    "versions": [(version, count) for version, count in node["versions"]],
                }
            )
            for node in data["nodes"]
        ]
        episodes = [_episode(item) for item in data["episodes"]]
        task = Task.from_json(data["task"])
        tree = Tree(data["id"], task, nodes, episodes, data["info"])
        tree.check()
    except DataError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"Not a stored tree: {error!r}") from error
    return tree


def save_panel(panel: TaskPanel, path: str | os.PathLike[str]) -> None:
    """Write a task panel with its hash; the file appears complete or not at all."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.partial-{os.getpid()}")
    partial.write_bytes(_dump({"schema": SCHEMA, "hash": panel.hash} | panel.to_json()) + b"\n")
    os.replace(partial, final)


def load_panel(path: str | os.PathLike[str]) -> TaskPanel:
    """Read a task panel.

    Raises:
        DataError: the file is missing or damaged, or its tasks do not have the hash it names.
    """
    file = Path(path)
    try:
        data = _parse(_read(file))
        panel = TaskPanel.from_json(data)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    if panel.hash != data.get("hash"):
        raise DataError(
            f"{file}: the tasks have the hash {panel.hash}, but the file names {data.get('hash')}. "
            "It was changed by hand; build the panel again."
        )
    return panel


def _fields(item: Node | Episode) -> dict[str, JSON]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _episode(data: dict[str, JSON]) -> Episode:
    stop, forked = data["stop"], data.get("forked_at")
    return Episode(
        **data
        | {
            "stop": None if stop is None else StopReason(stop),
            "forked_at": None if forked is None else tuple(forked),
        }
    )


def _plain(value: object) -> JSON:
    """Turn a numpy scalar into a number; anything else has no place in JSON."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r}"[:200])


def _dump(data: JSON) -> bytes:
    try:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Cannot be written as JSON: {error}. `info` and `options` take strings, numbers, "
            "booleans, None, lists and dictionaries with string keys."
        ) from error
    # Lone surrogates, which environments written in other languages do print, must not be lost.
    return text.encode("utf-8", "surrogatepass")


def _parse(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})") from error
    if not isinstance(data, dict) or "schema" not in data:
        raise DataError("not written by AgentRL (it has no `schema`)")
    if data["schema"] != SCHEMA:
        raise DataError(
            f"schema version {data['schema']!r} is unknown; this AgentRL reads version {SCHEMA}. "
            "Read it with the version that wrote it"
        )
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error


def _records(
    path: Path, on_truncated: Callable[[TruncatedLine], None] | None
) -> Iterator[Tree | dict[str, JSON]]:
    """Yield the headers and trees of a file in order."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                record = _record(line)
            except DataError as error:
                if line.endswith(b"\n") or _is_json(line):
                    raise DataError(f"{path}, line {number}: {error}.") from error
                (on_truncated or _warn)(TruncatedLine(path, number, len(line)))
                return
            yield record


def _record(line: bytes) -> Tree | dict[str, JSON]:
    data = _parse(line)
    if "tree" in data:
        return tree_from_json(data["tree"])
    header = data.get("forest")
    if not isinstance(header, dict):
        raise DataError("neither a tree nor a header")
    return header


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _warn(line: TruncatedLine) -> None:
    _logger.warning(
        "%s: line %d is incomplete (its writer was killed); the tree in it is skipped.",
        line.path,
        line.line,
    )


def _cut_truncated_line(path: Path) -> bool:
    """Cut off an incomplete last line; return whether anything remains."""
    if not path.exists():
        return False
    data = _read(path)
    end = data.rfind(b"\n") + 1
    if end < len(data):
        os.truncate(path, end)
    return end > 0
