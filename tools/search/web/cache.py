"""Answers of services, kept in an SQLite file that many processes may share."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from agentrl.errors import DataError
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.web.exchange import Request

VERSION = 1
"""Raised whenever what is stored changes; older answers are then not found."""

NEGATIVE_SECONDS = 600.0
"""For which it is believed that there is nothing to be found."""

_BUSY_SECONDS = 10.0
_TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, backend TEXT NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL,
    empty INTEGER NOT NULL, time REAL NOT NULL) WITHOUT ROWID"""


class CacheMode(StrEnum):
    """What a cache is used for."""

    OFF = "off"
    READ_WRITE = "read_write"
    READ_ONLY = "read_only"
    """Replay: a stored answer of any age counts, and a miss is an error."""


class ResponseCache:
    """Raw answers by request; safe to use from many threads and processes.

    Args:
        path: the file; its folder is made.
        mode: what it is used for.
        ttl: seconds for which an answer counts; None for ever.
        clock: time of day in seconds.

    Raises:
        DataError: there is nothing to replay, or the file is no cache.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: CacheMode = CacheMode.READ_WRITE,
        *,
        ttl: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path, self.mode, self.ttl = Path(path), mode, ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._file = None if mode is CacheMode.OFF else self._opened()

    def get(self, backend: str, request: Request) -> str | None:
        """Return the stored answer to a request, if there is one that still counts.

        Raises:
            SearchFailure: there is none, and only stored answers may be used.
        """
        if self._file is None:
            return None
        query = "SELECT response, empty, time FROM answers WHERE key = ?"
        with self._lock:
            row = self._file.execute(query, (cache_key(backend, request),)).fetchone()
        if self.mode is CacheMode.READ_ONLY:
            if row is None:
                raise SearchFailure(FailureKind.REPLAY, backend)
            return str(row[0])
        return str(row[0]) if row and self._counts(bool(row[1]), row[2]) else None

    def put(self, backend: str, request: Request, response: str, *, empty: bool) -> None:
        """Store an answer; `empty` says that nothing was found."""
        if self._file is None or self.mode is CacheMode.READ_ONLY:
            return
        row = (cache_key(backend, request), backend, _dump(request), response, empty, self._clock())
        with self._lock, self._file:
            self._file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _counts(self, empty: bool, when: float) -> bool:
        limits = [self.ttl, NEGATIVE_SECONDS if empty else None]
        age = self._clock() - when
        return all(limit is None or age < limit for limit in limits)

    def _opened(self) -> sqlite3.Connection:
        replay = self.mode is CacheMode.READ_ONLY
        if replay and not self.path.is_file():
            raise DataError(f"There are no stored answers in {str(self.path)!r} to replay.")
        try:
            return _connected(self.path, replay)
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"The cache {str(self.path)!r} cannot be used: {error}.") from error


def _connected(path: Path, replay: bool) -> sqlite3.Connection:
    if not replay:
        path.parent.mkdir(parents=True, exist_ok=True)
    address = f"{path.absolute().as_uri()}?mode={'ro' if replay else 'rwc'}"
    file = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        if not replay:
            file.execute("PRAGMA journal_mode = WAL").fetchall()
            file.execute(_TABLE)
        file.execute("SELECT count(*) FROM answers WHERE key = ''").fetchall()
    except sqlite3.Error:
        file.close()
        raise
    return file


def cache_key(backend: str, request: Request) -> str:
    """Return what an answer is stored under; requests hold no keys."""
    text = f"{VERSION}\n{backend}\n{_dump(request)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _dump(request: Request) -> str:
    return json.dumps(asdict(request), sort_keys=True, ensure_ascii=False)
