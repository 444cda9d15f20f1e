"""Prompts that an algorithm varies: templates drawn per task, and cases from a memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentrl.algorithms.slots import PromptStrategy
from agentrl.envs.base import Info
from agentrl.rollout.prompting import Prompting
from agentrl.tree import Episode, Forest, Tree
from agentrl.types import Task


@dataclass(frozen=True, slots=True)
class RunPrompting:
    """The prompting of one step: first the template, then what the memory adds.

    Attributes:
        strategy: varies the system text; None leaves it.
        memory: a running memory of cases; None adds nothing.
        seed: of the run.
        epoch: how often the panel has been gone through.
    """

    strategy: PromptStrategy | None
    memory: Any
    seed: int
    epoch: int

    def system(self, text: str | None, task: Task, info: Info) -> str | None:
        """Return the system text of an episode."""
        if self.strategy is not None:
            text = self.strategy.system(
                text or "", seed=self.seed, epoch=self.epoch, task_id=task.id
            )
        if self.memory is not None:
            text = self.memory.system(text or "", str(info.get("task") or task.id))
        return text or None


def prompting_of(
    strategy: PromptStrategy | None, memory: Any, seed: int, epoch: int
) -> Prompting | None:
    """Return what varies the prompts of a step; None where nothing does."""
    if strategy is None and memory is None:
        return None
    return RunPrompting(strategy, memory, seed, epoch)


def remember(memory: Any, forest: Forest) -> None:
    """Write every counted episode to the memory: its task, its plan, and whether it succeeded."""
    for tree, episode in forest.counted():
        memory.add(_task_of(tree, episode), plan_of(tree, episode), _reward(episode))


def plan_of(tree: Tree, episode: Episode) -> str:
    """Return the actions of an episode, one a line."""
    actions = (node.info.get("action") for node in tree.model_nodes(episode))
    return "\n".join(str(action) for action in actions if action)


def _task_of(tree: Tree, episode: Episode) -> str:
    return str(tree.info.get("task") or tree.task.id)


def _reward(episode: Episode) -> float:
    return float(episode.metrics.get("success", episode.reward) > 0)
