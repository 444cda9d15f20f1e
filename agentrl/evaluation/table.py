"""The result of an evaluation: one row per split and task type, with every denominator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from agentrl.evaluation.interval import METHOD, success_interval
from agentrl.evaluation.record import EpisodeRecord

ALL = "all"
"""Task type of the row that sums a split up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One split and task type.

    Attributes:
        split: the split.
        task_type: the type, or `all`.
        tasks: tasks of that type in the panel.
        scored_tasks: those with at least one episode that did not fail.
        episodes: episodes that did not fail; means are over these only.
        success: mean over tasks of the mean success of the task's episodes; None without episodes.
        interval: its 95 % interval.
        score: mean task score in [0, 1], averaged in the same way.
        steps: mean actions per episode.
        invalid_rate: share of actions that were invalid; None without actions.
        failed: failed episodes by stop reason and kind; they are in no mean.
    """

    split: str
    task_type: str
    tasks: int
    scored_tasks: int
    episodes: int
    success: float | None
    interval: tuple[float, float]
    score: float | None
    steps: float | None
    invalid_rate: float | None
    failed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelInfo:
    """What was played.

    Attributes:
        split: the split, as it was asked for.
        name: name of the panel.
        hash: its content hash; scores compare only where it is equal.
        tasks: number of tasks by task type.
    """

    split: str
    name: str
    hash: str
    tasks: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTable:
    """An evaluation: what was played, by whom and how, and how it went.

    Attributes:
        environment: its id.
        agent: `expert`, `random`, `first`, or the model's name.
        settings: how it was played: protocol, episodes per task, seed, temperature, prompt, ...
        panels: one per split.
        versions: versions of the packages involved.
        rows: per split, the task types in alphabetical order and then `all`.
        interval_method: what `interval` is.
    """

    environment: str
    agent: str
    settings: Mapping[str, Any]
    panels: Sequence[PanelInfo]
    versions: Mapping[str, str]
    rows: Sequence[TableRow]
    interval_method: str = METHOD

    def to_json(self) -> dict[str, Any]:
        """Return the table as a JSON object."""
        return asdict(self)


def table_rows(panel: PanelInfo, records: Iterable[EpisodeRecord]) -> list[TableRow]:
    """Return the rows of one split; the order of the records does not matter."""
    ordered = sorted(records, key=lambda record: (record.task, record.episode))
    types = sorted({*panel.tasks, *(record.task_type for record in ordered)})
    rows = [
        _row(
            panel.split,
            name,
            panel.tasks.get(name, 0),
            [record for record in ordered if record.task_type == name],
        )
        for name in types
        if name
    ]
    return [*rows, _row(panel.split, ALL, sum(panel.tasks.values()), ordered)]


def _row(split: str, name: str, tasks: int, records: Sequence[EpisodeRecord]) -> TableRow:
    groups: dict[str, list[EpisodeRecord]] = {}
    failed: dict[str, int] = {}
    for record in records:
        if record.failed:
            failed[record.failure] = failed.get(record.failure, 0) + 1
        else:
            groups.setdefault(record.task, []).append(record)
    counted = [record for group in groups.values() for record in group]
    actions = sum(record.steps for record in counted)
    wins = [[record.success for record in group] for group in groups.values()]
    scores = [[record.score for record in group] for group in groups.values()]
    return TableRow(
        split=split,
        task_type=name,
        tasks=tasks,
        scored_tasks=len(groups),
        episodes=len(counted),
        success=_mean([_mean(group) for group in wins]),
        interval=success_interval(wins),
        score=_mean([_mean(group) for group in scores]),
        steps=_mean([record.steps for record in counted]),
        invalid_rate=sum(record.invalid_actions for record in counted) / actions
        if actions
        else None,
        failed=dict(sorted(failed.items())),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
