"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

COLUMNS: Mapping[str, tuple[str, str]] = {
    "rollout/success": ("train success", "{:.2f}"),
    "eval/heldout_success": ("held-out", "{:.2f}"),
    "rollout/reward": ("reward", "{:.3f}"),
    "rollout/turns": ("turns", "{:.1f}"),
    "learner/entropy": ("entropy", "{:.3f}"),
    "learner/grad_norm": ("grad norm", "{:.2f}"),
    "time/step": ("s/step", "{:.1f}"),
}
SHOWN_ROWS = 12


class Progress:
    """Reports phases and steps.

    Args:
        total: training steps in all.
        console: where to write; by default standard output.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.total = total
        self.console = console or Console(file=sys.stdout, highlight=False)
        self.rows: list[tuple[int, Mapping[str, Any]]] = []
        self._live: Live | None = None
        self._started = time.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Announce a phase, and how long it took."""
        started = time.monotonic()
        with self.console.status(name + " …") if self.console.is_terminal else _nothing():
            yield
        self.console.print(f"{name}: {time.monotonic() - started:.1f} s")

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Show steps as they are logged, as long as the context is open."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self._table(), console=self.console, refresh_per_second=4) as live:
            self._live = live
            yield
        self._live = None

    def step(self, step: int, values: Mapping[str, Any]) -> None:
        """Show the values of one step."""
        self.rows.append((step, values))
        if self._live is not None:
            self._live.update(self._table())
            return
        cells = [f"{title} {text}" for title, text in self._cells(values) if text]
        self.console.print(f"step {step}/{self.total}  " + "  ".join(cells))

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text)

    def _cells(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [
            (title, form.format(values[key]) if values.get(key) is not None else "")
            for key, (title, form) in COLUMNS.items()
        ]

    def _table(self) -> Table:
        minutes = (time.monotonic() - self._started) / 60
        table = Table(title=f"{minutes:.1f} min", title_justify="left")
        table.add_column("step", justify="right")
        for title, _ in COLUMNS.values():
            table.add_column(title, justify="right")
        for step, values in self.rows[-SHOWN_ROWS:]:
            table.add_row(f"{step}/{self.total}", *(text for _, text in self._cells(values)))
        return table


@contextmanager
def _nothing() -> Iterator[None]:
    yield
