"""Play a panel and score it; every episode is stored beside the score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrl.evaluation.score import PanelScore, score_forest
from agentrl.rollout.policy import Policy
from agentrl.rollout.prompting import Prompting
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.storage import ForestWriter
from agentrl.tree import Forest
from agentrl.types import TaskPanel


async def score_panel(
    scheduler: RolloutScheduler,
    policy: Policy,
    panel: TaskPanel,
    *,
    episodes_per_task: int,
    path: Path,
    prompting: Prompting | None = None,
) -> PanelScore:
    """Play every task of a panel and score it.

    Args:
        scheduler: plays the episodes.
        policy: chooses the actions.
        panel: what is played, in order.
        episodes_per_task: episodes of each task.
        path: where the trajectories go (`.jsonl`); the score goes beside it (`.json`).
        prompting: varies the system text from task to task.
    """
    _, score = await play_panel(
        scheduler,
        policy,
        panel,
        episodes_per_task=episodes_per_task,
        path=path,
        prompting=prompting,
    )
    return score


async def play_panel(
    scheduler: RolloutScheduler,
    policy: Policy,
    panel: TaskPanel,
    *,
    episodes_per_task: int,
    path: Path,
    info: Mapping[str, Any] | None = None,
    prompting: Prompting | None = None,
) -> tuple[Forest, PanelScore]:
    """Do what `score_panel` does, and return the trajectories too.

    Args:
        scheduler: plays the episodes.
        policy: chooses the actions.
        panel: what is played, in order.
        episodes_per_task: episodes of each task.
        path: where the trajectories go (`.jsonl`); the score goes beside it (`.json`).
        info: further tags of the stored forest.
        prompting: varies the system text from task to task.
    """
    tags = {"panel": panel.name, "panel_hash": panel.hash, **(info or {})}
    with ForestWriter(path, info=tags) as writer:
        forest = await scheduler.collect(
            panel.tasks,
            policy,
            group_size=episodes_per_task,
            tree_prefix=f"{panel.name}-",
            on_tree=writer.write,
            prompting=prompting,
        )
    score = score_forest(forest, panel.name, panel.hash)
    path.with_suffix(".json").write_text(json.dumps(score.to_json(), indent=1) + "\n")
    return forest, score
