"""Wall clock and CPU time per kind of call, for both sides of `environments_peers.py`.

It needs nothing but Python, because it also runs in interpreters without AgentRL.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Stopwatch:
    """Measures calls by name: wall clock, and CPU of this process and of all it has started."""

    def __init__(self) -> None:
        self._wall: dict[str, list[float]] = {}
        self._cpu: dict[str, list[float]] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        others = _cpu_of_descendants(os.getpid())
        own, wall = time.process_time(), time.perf_counter()
        yield
        wall, own = time.perf_counter() - wall, time.process_time() - own
        others = max(0.0, _cpu_of_descendants(os.getpid()) - others)
        self._wall.setdefault(name, []).append(1000 * wall)
        self._cpu.setdefault(name, []).append(1000 * (own + others))

    def results(self) -> dict[str, dict[str, float]]:
        """Return, by name, the calls' number, median wall clock and mean CPU in milliseconds."""
        return {
            name: {
                "calls": len(wall),
                "wall_ms": statistics.median(wall),
                "cpu_ms": statistics.mean(self._cpu[name]),
            }
            for name, wall in self._wall.items()
        }


def _cpu_of_descendants(pid: int) -> float:
    """Return the seconds of CPU of all processes below one, their threads included (Linux)."""
    total = 0.0
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            for thread in Path(f"/proc/{child}/task").glob("*/schedstat"):
                total += int(thread.read_text().split()[0]) / 1e9
            total += _cpu_of_descendants(int(child))
    return total
