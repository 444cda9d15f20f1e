"""Tables say what was played, with every denominator."""

from __future__ import annotations

import io
import random

import pytest
from rich.console import Console

from agentrl.evaluation.record import EpisodeRecord
from agentrl.evaluation.report import markdown, plain, show
from agentrl.evaluation.table import EvaluationTable, PanelInfo, TableRow, table_rows

PANEL = PanelInfo(split="far", name="errands-far", hash="0123", tasks={"long": 2, "short": 2})


def record(task: str, kind: str, success: float = 0.0, **fields: object) -> EpisodeRecord:
    values = {"score": success, "steps": 2, **fields}
    return EpisodeRecord(task=task, task_type=kind, split="far", success=success, **values)  # type: ignore[arg-type]


RECORDS = [
    record("a", "long", 1.0, steps=4, invalid_actions=1),
    record("a", "long", 0.0, episode=1, steps=4, score=0.5),
    record("b", "long", stop="env_timeout", error_kind="timeout"),
    record("c", "short", 1.0),
    record("d", "short", 1.0),
    record("d", "short", episode=1, stop="env_error", error_kind="raised"),
]


def row(kind: str) -> TableRow:
    return next(row for row in table_rows(PANEL, RECORDS) if row.task_type == kind)


def test_means_are_over_tasks_and_failed_episodes_are_in_none():
    assert row("long").success == pytest.approx(0.5)
    assert row("all").success == pytest.approx((0.5 + 1 + 1) / 3)
    assert row("all").score == pytest.approx((0.75 + 1 + 1) / 3)
    assert row("all").steps == pytest.approx((4 + 4 + 2 + 2) / 4)
    assert row("all").invalid_rate == pytest.approx(1 / 12)


def test_denominators_and_failures_are_shown():
    found = row("long")
    assert (found.tasks, found.scored_tasks, found.episodes) == (2, 1, 2)
    assert found.failed == {"env_timeout/timeout": 1}
    assert row("all").failed == {"env_error/raised": 1, "env_timeout/timeout": 1}


def test_the_order_of_the_episodes_does_not_matter():
    records = [*RECORDS, *(record(f"t{i}", "short", score=0.1 * i) for i in range(9))]
    for seed in range(20):  # to the last digit of every sum
        mixed = random.Random(seed).sample(records, len(records))
        assert table_rows(PANEL, mixed) == table_rows(PANEL, records)


def test_a_type_of_which_nothing_was_scored_is_shown_without_numbers():
    (found,) = [row for row in table_rows(PANEL, RECORDS[3:]) if row.task_type == "long"]
    assert (found.tasks, found.scored_tasks, found.success) == (2, 0, None)
    assert found.interval == (0.0, 1.0)


def test_one_type_without_a_name_gives_one_row():
    panel = PanelInfo(split="far", name="x", hash="0", tasks={"": 1})
    assert [row.task_type for row in table_rows(panel, [record("a", "", 1.0)])] == ["all"]


def table() -> EvaluationTable:
    return EvaluationTable(
        environment="tests/Errands-v0",
        agent="expert",
        settings={"protocol": "exact", "seed": 0},
        panels=[PANEL],
        versions={"agentrl": "1"},
        rows=table_rows(PANEL, RECORDS),
    )


def test_text_and_markdown_hold_the_same_cells():
    for text in (plain(table()), markdown(table())):
        assert "3/4" in text and "83.3" in text and "1 env_timeout/timeout" in text
    assert "hash 0123" in markdown(table()) and "protocol exact" in markdown(table())


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_and_a_file_both_get_the_table(terminal: bool):
    file = io.StringIO()
    show(table(), Console(file=file, force_terminal=terminal, width=140, color_system=None))
    assert "83.3" in file.getvalue() and "hash 0123" in file.getvalue()
    assert ("─" in file.getvalue()) == terminal
