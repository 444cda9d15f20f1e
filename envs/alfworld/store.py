"""Translated games: made once, kept on disk for all processes, and a few in memory."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl.envs.alfworld.cache import cache_root, made_whole, translator_versions
from agentrl.envs.alfworld.collector import collector_paused
from agentrl.envs.alfworld.engine import CompactGame
from agentrl.envs.alfworld.translation import FORMAT, Compact, translate
from agentrl.errors import AgentRLError, DataError

GAMES_IN_MEMORY = 8
"""Games a process keeps ready; see docs/environments/alfworld.md for what one takes."""

TRANSLATION_TIMEOUT_SECONDS = 120.0
"""Longest wait for one game; the slowest seen took 3 s on a busy core."""

Content = Mapping[str, Any]
_games: OrderedDict[str, CompactGame] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A game that has to be translated.

    Attributes:
        digest: of its content.
        options: where to find it: the options of its task.
        seed: of a generated game.
    """

    digest: str
    options: Mapping[str, Any]
    seed: int


def compact_game(digest: str, label: str, content: Callable[[], Content]) -> CompactGame:
    """Return a game ready to be played.

    Args:
        digest: of the game's content.
        label: what to call it in errors.
        content: called if the game was not translated yet.

    Raises:
        DataError: the game is broken; a game is never stored half.
    """
    game = _games.get(digest)
    if game is None:
        with collector_paused():
            game = _games[digest] = CompactGame(_stored(digest) or _made(digest, label, content))
        while len(_games) > GAMES_IN_MEMORY:
            _games.popitem(last=False)
    _games.move_to_end(digest)
    return game


def ensure(digest: str, label: str, content: Callable[[], Content]) -> None:
    """Translate a game and store it, unless that was done before."""
    if not stored_path(digest).exists():
        _made(digest, label, content)


def stored_path(digest: str) -> Path:
    """Return where the translation of a game is, or will be, stored."""
    return cache_root() / f"translated-{FORMAT}-{translator_versions()}" / f"{digest}.json.z"


def prepare(wanted: Iterable[Wanted], workers: int | None = None, quiet: bool = False) -> int:
    """Translate all games that are not stored yet, in parallel processes.

    Returns:
        How many were translated.

    Raises:
        DataError: a game is broken; the others are translated.
    """
    from agentrl.envs.progress import progress_bar  # rich is slow to import; workers need none

    missing = list({w.digest: w for w in wanted if not stored_path(w.digest).exists()}.values())
    if not missing:
        return 0
    todo: queue.SimpleQueue[Wanted] = queue.SimpleQueue()
    for item in missing:
        todo.put(item)
    count = min(workers or os.cpu_count() or 1, len(missing))
    with (
        progress_bar("Translating games", len(missing), quiet) as advance,
        ThreadPoolExecutor(count) as pool,
    ):
        errors = [
            e for part in pool.map(lambda _: _drain(todo, advance), range(count)) for e in part
        ]
    if errors:
        raise DataError(errors[0])
    return len(missing)


def _drain(todo: queue.SimpleQueue[Wanted], advance: Callable[[], None]) -> list[str]:
    """Serve the queue with one translating process; return what went wrong.

    A fresh interpreter: it neither imports the caller's `__main__` nor inherits its threads.
    """
    errors: list[str] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "agentrl.envs.alfworld.translate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdin is not None
        while process.poll() is None:
            try:
                wanted = todo.get_nowait()
            except queue.Empty:
                break
            if message := _request(process, wanted):
                errors.append(message)
            advance()
        process.stdin.close()
        if errors:
            process.kill()
    return errors


def _request(process: subprocess.Popen[str], wanted: Wanted) -> str:
    """Have one game translated; return an error message or nothing."""
    assert process.stdin is not None and process.stdout is not None
    watchdog = threading.Timer(TRANSLATION_TIMEOUT_SECONDS, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        process.stdin.write(json.dumps([dict(wanted.options), wanted.seed]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except OSError:
        answer = ""
    finally:
        watchdog.cancel()
    if not answer:
        process.kill()
        name = wanted.options.get("game") or f"generated from seed {wanted.seed}"
        return (
            f"The process translating ALFWorld game {name!r} died or took longer than "
            f"{TRANSLATION_TIMEOUT_SECONDS:.0f} s."
        )
    return str(json.loads(answer))


def _made(digest: str, label: str, content: Callable[[], Content]) -> Compact:
    """Translate a game and store it."""
    game = content()
    try:
        compact = translate(game)
    except AgentRLError as error:
        raise type(error)(f"ALFWorld game {label!r}: {error}") from error
    _store(digest, compact)
    return compact


def _stored(digest: str) -> Compact | None:
    path = stored_path(digest)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        compact: Compact = json.loads(zlib.decompress(data))
    except (ValueError, zlib.error):
        path.unlink(missing_ok=True)  # torn by a full disk; it is made again
        return None
    return compact


def _store(digest: str, compact: Compact) -> None:
    path = stored_path(digest)
    data = zlib.compress(json.dumps(compact, separators=(",", ":")).encode(), 6)
    with made_whole(path) as scratch:
        scratch.write_bytes(data)
