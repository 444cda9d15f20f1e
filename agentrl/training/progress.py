"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

COLUMNS: Mapping[str, tuple[str, str]] = {
    "rollout/success": ("success", "{:.2f}"),
    "eval/train_success": ("training panel", "{:.2f}"),
    "eval/heldout_success": ("held-out panel", "{:.2f}"),
    "rollout/reward": ("reward", "{:.3f}"),
    "rollout/turns": ("turns", "{:.1f}"),
    "learner/entropy": ("entropy", "{:.2f}"),
    "learner/grad_norm": ("gradient", "{:.2f}"),
    "rollout/failed": ("failed", "{:.0f}"),
    "time/step": ("seconds", "{:.1f}"),
}
"""Metrics shown, with their titles and formats."""

ONLY_WHERE_NOT_ZERO = {"rollout/failed"}
SHOWN_ROWS = 15


class Progress:
    """Reports phases and steps.

    Args:
        total: training steps in all.
        console: where to write; by default standard output.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.total = total
        self.console = console or Console(file=sys.stdout, highlight=False)
        self._rows: list[tuple[int, Mapping[str, Any]]] = []
        self._live: Live | None = None
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line, however long it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def phase(self, name: str) -> Iterator[Callable[[str], None]]:
        """Announce a phase, and how long it took; yields a function that says how far it is."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(f"{name} …") as status:
                yield lambda text: status.update(f"{name} … {text}")
        else:
            yield lambda text: None
        self.say(f"{name}: {time.monotonic() - started:.1f} s")

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Show steps as they are logged, as long as the context is open."""
        self._started = time.monotonic()
        if not self.console.is_terminal:
            yield
            return
        # Redrawn when a step ends; nothing on screen changes in between.
        with Live(console=self.console, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def step(self, step: int, values: Mapping[str, Any]) -> None:
        """Show the values of one step."""
        self._rows.append((step, values))
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            return
        titled = zip((title for title, _ in COLUMNS.values()), self._texts(values), strict=True)
        cells = [f"{title} {text}" for title, text in titled if text]
        self.say(f"step {step}/{self.total}  " + "  ".join(cells))

    def _texts(self, values: Mapping[str, Any]) -> list[str]:
        return [_text(key, values.get(key), form) for key, (_, form) in COLUMNS.items()]

    def _table(self) -> Table:
        """The last rows; a column that is empty in all of them is left out."""
        rows = [[str(step), *self._texts(values)] for step, values in self._rows[-SHOWN_ROWS:]]
        titles = ["step", *(title for title, _ in COLUMNS.values())]
        shown = [column for column in range(len(titles)) if any(row[column] for row in rows)]
        table = Table(
            title=self._remaining(), title_justify="left", title_style="bold", box=SIMPLE_HEAD
        )
        for column in shown:
            table.add_column(titles[column], justify="right")
        for row in rows:
            table.add_row(*(row[column] for column in shown))
        return table

    def _remaining(self) -> str:
        done, (last, _) = len(self._rows), self._rows[-1]
        passed = (time.monotonic() - self._started) / 60
        left = passed / done * (self.total - last)
        return f"Step {last} of {self.total}, {passed:.1f} min, about {left:.1f} min left"


def _text(key: str, value: Any, form: str) -> str:
    hidden = value is None or (key in ONLY_WHERE_NOT_ZERO and not value)
    return "" if hidden else form.format(value)
