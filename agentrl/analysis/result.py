"""What a tool found: tables, remarks, plots and numbers, and how they are shown and stored."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Drawn

from agentrl.training.curves import Plot, document

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers for people.

    Attributes:
        title: stands above.
        columns: names of the columns; the first is set left, the others right.
        rows: cells; None and what is not finite is shown as `-`.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def texts(self) -> list[list[str]]:
        """Return the cells as they are shown."""
        return [[_text(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The outcome of a tool.

    Attributes:
        tool: its name, which names the files.
        run: the run directory, as it was given.
        tables: shown in this order.
        notes: remarks in whole sentences: what was used, what is missing, alarms.
        plots: drawn into one file.
        numbers: everything a program may want; JSON values.
    """

    tool: str
    run: str
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Print tables and notes: drawn on a terminal, aligned plain text elsewhere."""
        _say(console, f"{self.tool} of {self.run}")
        for table in self.tables:
            _say(console, f"\n{table.title}")
            if console.is_terminal:
                console.print(_drawn(table))
            else:
                _say(console, _plain(table))
        if self.notes:
            _say(console, "\n" + "\n".join(self.notes))

    def write(self, folder: Path) -> list[Path]:
        """Write `<tool>.svg` and `<tool>.json`, each whole or not at all; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        data = {"tool": self.tool, "run": self.run, "notes": list(self.notes), **self.numbers}
        texts = {
            "svg": document(self.plots),
            "json": json.dumps(_finite(data), indent=1) + "\n",
        }
        paths = []
        for ending, text in texts.items():
            path = folder / f"{self.tool}.{ending}"
            partial = path.with_suffix(f".{ending}.partial")
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
            paths.append(path)
        return paths


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _plain(table: Table) -> str:
    lines = [list(table.columns), *table.texts()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if i else text.ljust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _drawn(table: Table) -> Drawn:
    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(table.columns):
        drawn.add_column(name, justify="right" if index else "left")
    for row in table.texts():
        drawn.add_row(*row)
    return drawn


def _finite(value: Any) -> Any:
    """Replace what JSON does not know: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
