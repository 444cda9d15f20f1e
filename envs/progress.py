"""Progress of long preparation: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(title: str, total: int, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Show progress on standard error; yields a function to call once per finished item."""
    console = Console(stderr=True)
    if quiet:
        yield lambda: None
    elif console.is_terminal:
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)
    else:
        yield _PlainLines(title, total)


class _PlainLines:
    """Prints a line at every tenth of the work."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._done = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            before = 10 * self._done // self._total
            self._done += 1
            if 10 * self._done // self._total > before:
                seconds = time.monotonic() - self._started
                line = f"{self._title}: {self._done}/{self._total} ({seconds:.1f} s)"
                print(line, file=sys.stderr, flush=True)
