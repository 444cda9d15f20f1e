"""What a tool found: tables, remarks, plots and numbers, and how they are shown and stored."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table as Drawn

from agentrl.training.curves import Plot, document

Cell = str | int | float | None

ROWS = 24
"""Rows of a table by step that are shown."""


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

    @classmethod
    def by_step(cls, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
        """Return a table of steps; of many, evenly spaced ones up to the last are shown."""
        every = -(-len(rows) // ROWS) or 1
        if every > 1:
            title = f"{title} (1 of {every} rows; all are in the JSON file)"
        return cls(title, columns, list(rows[::-1][::every][::-1]))

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
            if not console.is_terminal:
                _say(console, _plain(table))
                continue
            for piece in _pieces(table, console.width):
                console.print(piece)
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
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


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


def _pieces(table: Table, width: int) -> Iterator[Drawn]:
    """Yield the table, or pieces of it that fit beside its first column: no number is ever cut."""
    texts = table.texts()
    names = list(table.columns)
    whole = [max(map(len, (name, *(row[i] for row in texts)))) for i, name in enumerate(names)]
    if sum(whole) + 3 * len(whole) <= width:
        yield _drawn(table, texts, dict(enumerate(whole)))
        return
    # Names may be broken between words.
    wide = [
        max(map(len, (*name.split(), *(row[i] for row in texts)))) for i, name in enumerate(names)
    ]
    piece = {0: wide[0]}
    for index in range(1, len(wide)):
        if len(piece) > 1 and sum(piece.values()) + wide[index] + 3 * (len(piece) + 1) > width:
            yield _drawn(table, texts, piece)
            piece = {0: wide[0]}
        piece[index] = wide[index]
    yield _drawn(table, texts, piece)


def _drawn(table: Table, texts: Sequence[Sequence[str]], widths: Mapping[int, int]) -> Drawn:
    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, width in widths.items():
        side: Literal["left", "right"] = "right" if index else "left"
        drawn.add_column(table.columns[index], justify=side, width=width)
    for row in texts:
        drawn.add_row(*(row[index] for index in widths))
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
