"""Processes that start quickly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 300.0
"""For one run; the longest take 15 s on a quiet machine."""


class RunServer:
    """Runs `agentrl` in processes of their own; see `run_server`."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.run_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, arguments: list[str], output: Path, kill: tuple[str, int] | None = None) -> int:
        """Start a run and return its process id."""
        assert self.process.stdin is not None
        request = {
            "arguments": arguments,
            "output": str(output),
            "kill": kill,
            "mark": self.mark,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self._answer()["pid"])

    def wait(self) -> int:
        """Wait for the end of the run; minus the signal where one killed it."""
        return int(self._answer()["status"])

    def run(self, arguments: list[str], output: Path, kill: tuple[str, int] | None = None) -> int:
        self.start(arguments, output, kill)
        return self.wait()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        watchdog = threading.Timer(DEADLINE_SECONDS, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        assert line, f"a run took longer than {DEADLINE_SECONDS} s, or the server died"
        return json.loads(line)

    def leftovers(self, seconds: float = 5.0) -> list[int]:
        """Processes of earlier runs that are still alive after at most `seconds`."""
        deadline = time.monotonic() + seconds
        while (found := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def marked(mark: str) -> list[int]:
    """Live processes whose environment holds the mark."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="session")
def server(game_cache: None) -> Iterator[RunServer]:
    server = RunServer()
    yield server
    server.close()
