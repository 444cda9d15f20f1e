"""An evaluation table for people: on a terminal, as plain text, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from agentrl.evaluation.table import ALL, EvaluationTable, TableRow

COLUMNS = (
    "split",
    "task type",
    "tasks",
    "episodes",
    "success %",
    "95 %",
    "score",
    "steps",
    "invalid %",
    "failed",
)
_LEFT = {"split", "task type", "failed"}


def cells(row: TableRow) -> tuple[str, ...]:
    """Return the texts of one row, in the order of `COLUMNS`.

    Where tasks are missing from the means, `tasks` is `scored/all`.
    """
    partial = row.scored_tasks != row.tasks
    failed = ", ".join(f"{count} {name}" for name, count in row.failed.items())
    low, high = row.interval
    return (
        row.split,
        row.task_type,
        f"{row.scored_tasks}/{row.tasks}" if partial else str(row.tasks),
        str(row.episodes),
        _number(row.success, 100, 1),
        f"{100 * low:.1f}-{100 * high:.1f}" if row.episodes else "-",
        _number(row.score, 1, 3),
        _number(row.steps, 1, 1),
        _number(row.invalid_rate, 100, 1),
        failed or "0",
    )


def _number(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{factor * value:.{digits}f}"


def facts(table: EvaluationTable) -> Iterator[tuple[str, str]]:
    """Yield what was played, by whom and how, as pairs of label and text."""
    yield "environment", table.environment
    yield "agent", table.agent
    if table.settings:
        yield "settings", ", ".join(f"{name} {value}" for name, value in table.settings.items())
    for panel in table.panels:
        tasks = sum(panel.tasks.values())
        yield "panel", f"{panel.split}: {panel.name}, {tasks} tasks, hash {panel.hash}"
    if table.versions:
        yield "versions", ", ".join(f"{name} {text}" for name, text in table.versions.items())
    yield "interval", table.interval_method


def show(table: EvaluationTable, console: Console) -> None:
    """Print a table: drawn on a terminal, aligned plain text elsewhere."""
    for label, text in facts(table):
        console.print(f"{label:12}{text}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    if not console.is_terminal:
        console.print(plain(table), highlight=False, markup=False, soft_wrap=True)
        return
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        drawn.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    for row in table.rows:
        last = row.task_type == ALL
        drawn.add_row(*cells(row), style="bold" if last else None, end_section=last)
    console.print(drawn)


def plain(table: EvaluationTable) -> str:
    """Return the rows as aligned text."""
    lines = [COLUMNS, *map(cells, table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        text.ljust(width) if name in _LEFT else text.rjust(width)
        for name, text, width in zip(COLUMNS, line, widths, strict=True)
    ]
    return "  ".join(parts).rstrip()


def markdown(table: EvaluationTable) -> str:
    """Return a whole Markdown page."""
    lines = [f"# {table.agent} on {table.environment}", ""]
    lines += [f"* {label}: {text}" for label, text in facts(table)]
    lines += ["", _bar(COLUMNS)]
    lines.append(_bar([":---" if name in _LEFT else "---:" for name in COLUMNS]))
    lines += [_bar(cells(row)) for row in table.rows]
    lines += [
        "",
        "Means are over tasks, each the mean of its episodes. Failed episodes are in no mean;",
        "where tasks are missing because of them, `tasks` is `scored/all`.",
    ]
    return "\n".join(lines) + "\n"


def _bar(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
