"""The cache of generated games, and how it is filled in parallel."""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from agentrl.envs.textworld.cache import cache_directory
from agentrl.envs.textworld.games import GameSpec
from agentrl.errors import ConfigError, DataError

GENERATION_TIMEOUT_SECONDS = 300.0
"""Longest wait for one game; the slowest seen (cooking, compiled) took 10 s on a busy core."""

SUFFIX = {"facts": ".json", "prose": ".z8"}

_GAMES_PER_PROCESS = {"facts": 16, "prose": 2}
"""A generating process takes 2 s of CPU to start; a game 0.05 to 0.1 s, compiled more than 1 s."""


def game_path(spec: GameSpec, backend: str) -> Path:
    """Return where the game of a spec is, or will be, stored."""
    return cache_directory() / f"{spec.key}{SUFFIX[backend]}"


def ensure(spec: GameSpec, backend: str) -> Path:
    """Return the path of the game, generating it in this process if it is not in the cache.

    Any number of processes may do this at once; each writes to a place of its own and renames.
    """
    path = game_path(spec, backend)
    if not path.exists():
        _write(spec, backend, path)
    return path


def _write(spec: GameSpec, backend: str, path: Path) -> None:
    from textworld import GameOptions
    from textworld.generator import compile_game

    from agentrl.envs.textworld.generation import generate

    game = generate(spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as folder:
        scratch = Path(folder) / path.name
        if backend == "prose":
            options = GameOptions()
            options.path = str(scratch)
            compile_game(game, options)
        else:
            game.save(str(scratch))
        # The compiled game needs its .json beside it, so that one is renamed first.
        for suffix in (".json", SUFFIX[backend]):
            if scratch.with_suffix(suffix).exists():
                os.replace(scratch.with_suffix(suffix), path.with_suffix(suffix))


def prepare(
    games: Iterable[tuple[GameSpec, str]], workers: int | None = None, quiet: bool = False
) -> int:
    """Generate all games that are not in the cache, in parallel processes.

    Args:
        games: `(spec, backend)` pairs.
        workers: processes; default the number of cores, or fewer where there are so few games that
            starting a process takes longer than making them.
        quiet: no progress output.

    Returns:
        How many games were generated.

    Raises:
        ConfigError: a game cannot be made; the others are.
        DataError: a generating process died or took longer than `GENERATION_TIMEOUT_SECONDS`.
    """
    from agentrl.envs.progress import progress_bar  # rich is slow to import; workers need none

    missing = {pair[0].key + pair[1]: pair for pair in games if not game_path(*pair).exists()}
    if not missing:
        return 0
    todo: queue.SimpleQueue[tuple[GameSpec, str]] = queue.SimpleQueue()
    for pair in missing.values():
        todo.put(pair)
    errors: list[Exception] = []
    count = min(workers or _process_count(missing.values()), len(missing))
    with progress_bar("Generating games", len(missing), quiet) as advance:
        threads = [
            threading.Thread(target=_drain, args=(todo, advance, errors), daemon=True)
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return len(missing)


def _process_count(games: Iterable[tuple[GameSpec, str]]) -> int:
    """Return how many processes make the games in the shortest time."""
    worth = sum(1 / _GAMES_PER_PROCESS[backend] for _, backend in games)
    return min(os.cpu_count() or 1, max(1, math.ceil(worth)))


def _drain(
    todo: queue.SimpleQueue[tuple[GameSpec, str]],
    advance: Callable[[], None],
    errors: list[Exception],
) -> None:
    """Serve the queue with one generating process.

    A fresh interpreter: it neither imports the caller's `__main__` nor inherits its threads.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "agentrl.envs.textworld.generate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdin is not None
        while not todo.empty():
            try:
                spec, backend = todo.get_nowait()
            except queue.Empty:
                break
            try:
                _request(process, spec, backend)
            except (ConfigError, DataError) as error:
                errors.append(error)
                if process.poll() is not None or isinstance(error, DataError):
                    break
            advance()
        process.stdin.close()
        if errors:
            process.kill()


def _request(process: subprocess.Popen[str], spec: GameSpec, backend: str) -> None:
    """Have one game made and wait for the answer."""
    assert process.stdin is not None and process.stdout is not None
    watchdog = threading.Timer(GENERATION_TIMEOUT_SECONDS, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        process.stdin.write(json.dumps([spec.to_json(), backend]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except OSError:
        answer = ""
    finally:
        watchdog.cancel()
    if not answer:
        raise DataError(
            f"The process making TextWorld game {spec.label!r} died or took longer than "
            f"{GENERATION_TIMEOUT_SECONDS:.0f} s."
        )
    message = json.loads(answer)
    if message:
        raise ConfigError(message)
