"""Translated games: made once, kept on disk for all processes, and a few in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl.envs.alfworld.cache import cache_root, translator_versions
from agentrl.envs.alfworld.engine import CompactGame
from agentrl.envs.alfworld.translation import FORMAT, Compact, translate
from agentrl.errors import AgentRLError, DataError

GAMES_IN_MEMORY = 24
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
        compact = _stored(digest)
        if compact is None:
            compact = _translated(label, content())
            _store(digest, compact)
        game = CompactGame(compact)
        _games[digest] = game
        while len(_games) > GAMES_IN_MEMORY:
            _games.popitem(last=False)
    _games.move_to_end(digest)
    return game


def ensure(digest: str, label: str, content: Callable[[], Content]) -> None:
    """Translate a game and store it, unless that was done before."""
    if not stored_path(digest).exists():
        _store(digest, _translated(label, content()))


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
    count = min(workers or os.cpu_count() or 1, len(missing))
    chunks = [missing[i :: count * 8] for i in range(min(count * 8, len(missing)))]
    errors: list[str] = []
    with (
        progress_bar("Translating games", len(missing), quiet) as advance,
        ThreadPoolExecutor(count) as pool,
    ):
        for done in as_completed([pool.submit(_translate_chunk, c, advance) for c in chunks]):
            errors += done.result()
    if errors:
        raise DataError(errors[0])
    return len(missing)


def _translate_chunk(chunk: list[Wanted], advance: Callable[[], None]) -> list[str]:
    """Have a fresh interpreter translate games; return what went wrong.

    It neither imports the caller's `__main__` nor inherits its threads.
    """
    lines = [json.dumps([w.digest, dict(w.options), w.seed]) for w in chunk]
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "agentrl.envs.alfworld.translate"],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            timeout=TRANSLATION_TIMEOUT_SECONDS * len(chunk),
        )
        answers = [json.loads(line) for line in finished.stdout.splitlines()]
        reason = finished.stderr.strip()[-300:]
    except subprocess.TimeoutExpired:
        answers, reason = [], "it took too long"
    for _ in chunk:
        advance()
    errors = [answer for answer in answers if answer]
    if len(answers) < len(chunk) and not errors:
        errors = [f"The process translating ALFWorld games failed: {reason}"]
    return errors


def _translated(label: str, content: Content) -> Compact:
    try:
        return translate(content)
    except AgentRLError as error:
        raise type(error)(f"ALFWorld game {label!r}: {error}") from error


def _stored(digest: str) -> Compact | None:
    path = stored_path(digest)
    try:
        compact: Compact = json.loads(zlib.decompress(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, zlib.error):
        path.unlink(missing_ok=True)  # cut short by a full disk; it is made again
        return None
    return compact


def _store(digest: str, compact: Compact) -> None:
    path = stored_path(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = zlib.compress(json.dumps(compact, separators=(",", ":")).encode(), 6)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".making-", delete=False) as file:
        file.write(data)
    os.replace(file.name, path)
