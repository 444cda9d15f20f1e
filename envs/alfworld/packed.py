"""Our own form of a split: one SQLite file from which a game is read in under a millisecond.

Any other layout is packed into the cache when it is first used; the files' names, sizes and times
tell whether it must be done again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl.envs.alfworld.cache import cache_root, made_whole
from agentrl.envs.alfworld.layouts import (
    GAME_KEYS,
    Broken,
    Game,
    content_digest,
    read_split,
    split_files,
)
from agentrl.errors import DataError

FORMAT = 1
_SCHEMA = """
create table games (id text primary key, task_type text, digest text, record blob);
create table texts (digest text primary key, body blob);
create table broken (path text, reason text);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A game in a packed split."""

    id: str
    task_type: str
    digest: str


class PackedSplit:
    """The games of one split.

    Args:
        path: the SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """Return all games, by id."""
        with self._connection() as connection:
            rows = connection.execute("select id, task_type, digest from games order by id")
            return [Entry(*row) for row in rows]

    def broken(self) -> list[Broken]:
        """Return the files that could not be read as games."""
        with self._connection() as connection:
            rows = connection.execute("select path, reason from broken order by path")
            return [Broken(Path(path), reason) for path, reason in rows]

    def read(self, game_id: str) -> dict[str, Any] | None:
        """Return a game's content; None if there is none of that id."""
        with self._connection() as connection:
            row = connection.execute("select record from games where id = ?", (game_id,)).fetchone()
            if row is None:
                return None
            content: dict[str, Any] = json.loads(zlib.decompress(row[0]))
            before, goal, after = content["grammar"]
            content["grammar"] = _text(connection, before) + goal + _text(connection, after)
            content["pddl_domain"] = _text(connection, content["pddl_domain"])
            return content

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection per use: they must not cross a fork, and opening one takes 0.1 ms."""
        try:
            address = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(address, uri=True)) as connection:
                yield connection
        except (sqlite3.Error, zlib.error, KeyError, ValueError, TypeError) as error:
            raise DataError(
                f"The packed ALFWorld games in {str(self.path)!r} are damaged ({error}); "
                "delete the file and make it anew."
            ) from error


def packed_split(directory: Path, split: str) -> PackedSplit | None:
    """Return a split of a data directory, packing it into the cache first if need be.

    Returns:
        None if the directory lacks the split.
    """
    own = directory / f"{split}.sqlite"
    if own.is_file():
        return PackedSplit(own)
    files = split_files(directory, split)
    if not files:
        return None
    stamp = [FORMAT, str(directory.absolute()), split]
    for path in files:
        if path.exists():
            status = path.stat()
            stamp.append(f"{path.relative_to(directory)} {status.st_size} {status.st_mtime_ns}")
    name = hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:24]
    target = cache_root() / f"{split}-{name}.sqlite"
    if not target.exists():
        write_packed(read_split(directory, split), target)
    return PackedSplit(target)


def write_packed(games: Iterable[Game | Broken], target: Path) -> None:
    """Write games to a file; it appears whole or not at all."""
    with (
        made_whole(target) as scratch,
        closing(sqlite3.connect(scratch)) as connection,
        connection,
    ):
        connection.executescript(_SCHEMA)
        for game in games:
            _insert(connection, game)


def _insert(connection: sqlite3.Connection, game: Game | Broken) -> None:
    if isinstance(game, Broken):
        connection.execute("insert into broken values (?, ?)", (str(game.path), game.reason))
        return
    content = dict(game.content)
    digest = content_digest(content)
    before, goal, after = _around_goal(content["grammar"])
    content["grammar"] = [_keep(connection, before), goal, _keep(connection, after)]
    content["pddl_domain"] = _keep(connection, content["pddl_domain"])
    kept = {key: content[key] for key in (*GAME_KEYS, "walkthrough", "solvable") if key in content}
    record = zlib.compress(json.dumps(kept).encode(), 6)
    connection.execute(
        "insert or replace into games values (?, ?, ?, ?)",
        (game.id, game.task_type, digest, record),
    )


def _around_goal(grammar: str) -> tuple[str, str, str]:
    """Split a grammar at its goal, so that what all games share is stored once."""
    mark = "Your task is to: "
    head, found, rest = grammar.partition(mark)
    if not found:
        return grammar, "", ""
    goal, quote, tail = rest.partition('"')
    return head + mark, goal, quote + tail


def _keep(connection: sqlite3.Connection, text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    connection.execute(
        "insert or ignore into texts values (?, ?)", (digest, zlib.compress(text.encode()))
    )
    return digest


def _text(connection: sqlite3.Connection, digest: str) -> str:
    row = connection.execute("select body from texts where digest = ?", (digest,)).fetchone()
    if row is None:
        raise DataError(f"The packed ALFWorld games lack the text {digest}.")
    return zlib.decompress(row[0]).decode()
