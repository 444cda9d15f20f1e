"""Where a rollout strategy that begins inside stored episodes gets them from (DR-PO)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrl.algorithms.slots import RolloutStrategy
from agentrl.errors import ConfigError
from agentrl.rollout.policy import seed_of
from agentrl.storage import iter_trees
from agentrl.training.parts import Parts
from agentrl.training.stored_episodes import StoredEpisodes
from agentrl.training.warmup import expert_policy, with_expert
from agentrl.tree import Tree
from agentrl.types import Task

BEST, EXPERT = "best", "expert"


class References:
    """Stored episodes by task, and how they are provided.

    Args:
        source: `best` keeps the best episodes of this run, `expert` lets the environment's expert
            play, anything else is a rollout file.
        parts: scheduler and tokenizer.
        seed: of the run.

    Raises:
        ConfigError: the file does not exist.
        DataError: the file is damaged.
    """

    def __init__(self, source: str, parts: Parts, seed: int) -> None:
        self._source = source
        self._parts = parts
        self._seed = seed
        self._stored = StoredEpisodes()
        self._asked: set[str] = set()
        if source not in (BEST, EXPERT):
            if not Path(source).is_file():
                raise ConfigError(
                    f"`algorithm.options.reference` is {source!r}, which is no file; use a rollout "
                    f"file (runs/.../rollouts/....jsonl), {BEST!r} or {EXPERT!r}."
                )
            self._stored.add(iter_trees(source))

    @classmethod
    def of(cls, strategy: RolloutStrategy | None, parts: Parts, seed: int) -> References | None:
        """Return the references that a strategy asks for; None where it asks for none."""
        source = getattr(strategy, "reference", None)
        return None if source is None else cls(str(source), parts, seed)

    def answers(self, task_id: str) -> list[list[int]] | None:
        """Return the answers of a task's episode, as token ids; None where there is none."""
        return self._stored.answers(task_id)

    async def provide(self, tasks: Sequence[Task]) -> None:
        """Let the expert play tasks that it has not played yet, where it is the source."""
        new = {task.id: task for task in tasks if task.id not in self._asked}
        self._asked |= new.keys()
        if self._source != EXPERT or not new:
            return
        parts = self._parts
        policy = expert_policy(parts.scheduler, parts.tokenizer, seed_of(self._seed, "reference"))
        forest = await parts.scheduler.collect(
            with_expert(list(new.values())), policy, group_size=1, tree_prefix="reference-"
        )
        self._stored.add(forest.trees)

    def add(self, trees: Iterable[Tree]) -> None:
        """Take note of what this run has sampled, where that is the source."""
        if self._source == BEST:
            self._stored.add(trees)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"stored": self._stored.state_dict(), "asked": sorted(self._asked)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._stored.load_state_dict(state["stored"])
        self._asked = set(state["asked"])
