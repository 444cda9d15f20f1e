"""Scores of a panel: rates with their denominators, intervals and failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from agentrl.evaluation.interval import success_interval
from agentrl.tree import Episode, Forest


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelScore:
    """How a policy did on a panel.

    Attributes:
        panel: name of the panel.
        panel_hash: its content hash.
        success: mean over tasks of the mean success of the task's episodes.
        success_interval: its 95 % interval (`agentrl.evaluation.interval`): Wilson's over tasks, at
            the effective number of trials where tasks have several episodes.
        score: mean task score in [0, 1], averaged in the same way.
        turns: mean actions per episode.
        episodes: episodes that ended and were scored.
        tasks: tasks with at least one scored episode.
        failed: episodes that failed, by stop reason and kind; they are in no mean.
        by_type: success rate of each task type.
        stops: share of scored episodes by stop reason.
    """

    panel: str
    panel_hash: str
    success: float
    success_interval: tuple[float, float]
    score: float
    turns: float
    episodes: int
    tasks: int
    failed: Mapping[str, int] = field(default_factory=dict)
    by_type: Mapping[str, float] = field(default_factory=dict)
    stops: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the score as a JSON object."""
        return asdict(self)


def score_forest(forest: Forest, panel: str, panel_hash: str) -> PanelScore:
    """Score the episodes of a forest; no model and no environment is needed."""
    groups = [tree.counted() for tree in forest.trees if tree.counted()]
    episodes = [episode for group in groups for episode in group]
    wins = [[episode.metrics.get("success", 0.0) for episode in group] for group in groups]
    types: dict[str, list[float]] = {}
    for tree in forest.trees:
        if tree.task.task_type and tree.counted():
            types.setdefault(tree.task.task_type, []).append(_mean_of(tree.counted(), "success"))
    stops: dict[str, float] = {}
    for episode in episodes:
        stops[str(episode.stop)] = stops.get(str(episode.stop), 0.0) + 1 / len(episodes)
    return PanelScore(
        panel=panel,
        panel_hash=panel_hash,
        success=_mean([_mean_of(group, "success") for group in groups]),
        success_interval=success_interval(wins),
        score=_mean([_mean_of(group, "score") for group in groups]),
        turns=_mean([float(episode.turns) for episode in episodes]),
        episodes=len(episodes),
        tasks=len(groups),
        failed=dict(forest.failures()),
        by_type={name: _mean(values) for name, values in sorted(types.items())},
        stops=dict(sorted(stops.items())),
    )


def _mean_of(episodes: Sequence[Episode], metric: str) -> float:
    return _mean([episode.metrics.get(metric, 0.0) for episode in episodes])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
