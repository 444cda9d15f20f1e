"""The rollout of one training step: which tasks, how many rounds, and what else is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentrl import assembly
from agentrl.algorithms import Algorithm
from agentrl.algorithms.strategies.control import ControlRollouts
from agentrl.config import RunConfig
from agentrl.learner.rows import rows
from agentrl.rollout.prompting import Prompting
from agentrl.storage import ForestWriter
from agentrl.training.parts import Parts
from agentrl.training.prompts import prompting_of
from agentrl.training.rollout_metrics import require_episodes, rollout_metrics
from agentrl.training.run_directory import RunDirectory
from agentrl.training.tasks import TaskCursor
from agentrl.tree import Forest, Tree
from agentrl.types import Task


@dataclass(slots=True)
class Collected:
    """What one step sampled.

    Attributes:
        forest: what is learned from: the groups that were kept, then control rollouts.
        sampled: every ordinary group, also those that dynamic sampling discarded.
        rounds: how often tasks were drawn.
    """

    forest: Forest = field(default_factory=Forest)
    sampled: Forest = field(default_factory=Forest)
    rounds: int = 0

    def metrics(self) -> dict[str, float]:
        """Return the rollout metrics of the ordinary groups."""
        values = rollout_metrics(self.sampled)
        if self.rounds > 1:
            values["rollout/rounds"] = float(self.rounds)
            ordinary = sum(tree.info.get("source") != "control" for tree in self.forest.trees)
            values["rollout/groups_discarded"] = float(len(self.sampled) - ordinary)
        return values


class Collector:
    """Samples the groups of each step and writes them to the run directory as they finish.

    Args:
        config: the whole configuration.
        parts: scheduler, engine, learner.
        cursor: gives the tasks.
        files: the run directory.
        memory: a running memory of cases, which prompts draw on; None has none.
    """

    def __init__(
        self,
        config: RunConfig,
        parts: Parts,
        cursor: TaskCursor,
        files: RunDirectory,
        memory: Any = None,
    ) -> None:
        self._config = config
        self._parts = parts
        self._cursor = cursor
        self._files = files
        self._memory = memory

    async def collect(self, step: int) -> Collected:
        """Sample one step's rollout.

        Raises:
            EnvironmentFailure: not a single episode could be played.
        """
        parts = self._parts
        algorithm = parts.learner.current_algorithm()
        # Nothing cached by an earlier phase may matter: a resumed run does not have it.
        await parts.engine.update_weights(None, parts.engine.version)
        every = self._config.checkpoint.rollouts_every
        path = self._files.rollouts(step) if every and step % every == 0 else None
        info = {"step": step, "prompt": parts.scheduler.settings.prompt_id}
        found = Collected()
        with ForestWriter(path, info=info) as writer:
            await self._ordinary(step, algorithm, found, writer)
            if isinstance(algorithm.rollout, ControlRollouts):
                found.forest.trees += await self._control(step, algorithm.rollout, found, writer)
        found.forest.info = found.sampled.info = info
        require_episodes(found.sampled, f"step {step}")
        return found

    async def _ordinary(
        self, step: int, algorithm: Algorithm, found: Collected, writer: ForestWriter
    ) -> None:
        """Draw tasks until enough groups are kept, or the filter's rounds are used up."""
        wanted = self._config.rollout.tasks_per_step
        refill = getattr(algorithm.group_filter, "refill", False)
        most = self._config.rollout.max_rounds if refill else 1
        epoch = self._cursor.position // len(self._cursor.panel)
        prompting = prompting_of(algorithm.prompt, self._memory, self._config.seed, epoch)
        while found.rounds < most and len(found.forest) < wanted:
            prefix = f"{step:06d}-" if not found.rounds else f"{step:06d}.{found.rounds}-"
            tasks = self._cursor.next(wanted - len(found.forest))
            trees = await self._play(tasks, step, prefix, writer, prompting=prompting)
            found.sampled.trees += trees
            found.forest.trees += _kept(algorithm, trees) if most > 1 else trees
            found.rounds += 1

    async def _control(
        self, step: int, strategy: ControlRollouts, found: Collected, writer: ForestWriter
    ) -> list[Tree]:
        """Sample some of the tasks again at another temperature."""
        tasks = [tree.task for tree in found.sampled.trees[: self._config.rollout.tasks_per_step]]
        chosen = tasks[: strategy.tasks(len(tasks))]
        prefix = f"{step:06d}.control-"
        return await self._play(
            chosen, step, prefix, writer, temperature=strategy.temperature, source="control"
        )

    async def _play(
        self,
        tasks: Sequence[Task],
        step: int,
        prefix: str,
        writer: ForestWriter,
        *,
        temperature: float = 1.0,
        source: str = "",
        prompting: Prompting | None = None,
    ) -> list[Tree]:
        config, parts = self._config, self._parts
        policy = assembly.rollout_policy(
            config, parts.engine, parts.scheduler.settings, step, temperature
        )

        def done(tree: Tree) -> None:
            if source:
                tree.info["source"] = source
            writer.write(tree)

        forest = await parts.scheduler.collect(
            tasks,
            policy,
            group_size=config.rollout.group_size,
            tree_prefix=prefix,
            on_tree=done,
            prompting=prompting,
        )
        return forest.trees


def _kept(algorithm: Algorithm, trees: list[Tree]) -> list[Tree]:
    """Return the trees that the group filter keeps."""
    found = rows(Forest(trees))
    keep = algorithm.group_filter
    if keep is None or not hasattr(keep, "keep") or not found.rows:
        return trees
    batch = found.batch.clean()
    if algorithm.reward is not None:
        batch = algorithm.reward(batch)
    pairs = zip(found.rows, keep.keep(batch).tolist(), strict=True)
    stay = {row.tree for row, kept in pairs if kept}
    return [tree for index, tree in enumerate(trees) if index in stay]
