"""The rollout of one training step: which tasks, how many rounds, and what else is sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentrl import assembly
from agentrl.algorithms import Algorithm
from agentrl.algorithms.slots import RolloutStrategy
from agentrl.algorithms.strategies.control import ControlRollouts
from agentrl.config import RunConfig
from agentrl.learner.rows import rows
from agentrl.plans import PlanMaker, temperature_rule
from agentrl.rollout.prompting import Prompting
from agentrl.storage import ForestWriter
from agentrl.training.parts import Parts
from agentrl.training.prompts import prompting_of
from agentrl.training.references import References
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
        cut: groups that were not waited for, and were dropped.
        carried: groups that were not waited for, and that the next step goes on with.
    """

    forest: Forest = field(default_factory=Forest)
    sampled: Forest = field(default_factory=Forest)
    rounds: int = 0
    cut: int = 0
    carried: int = 0

    def metrics(self) -> dict[str, float]:
        """Return the rollout metrics of the ordinary groups."""
        values = rollout_metrics(self.sampled)
        if self.cut or self.carried:
            values |= {
                "rollout/groups_cut": float(self.cut),
                "rollout/groups_carried": float(self.carried),
            }
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

    Attributes:
        references: stored episodes that new ones begin inside of; None where no strategy asks.
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
        algorithm = parts.learner.algorithm
        self.references = References.of(algorithm.rollout, parts, config.seed)
        self._plans = PlanMaker(
            parts.tokenizer,
            config.seed,
            assembly.group_size(config, algorithm),
            config.rollout.extra_episodes,
            self.references,
        )

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
        found.carried = parts.scheduler.unfinished
        if self.references is not None:
            self.references.add(found.sampled.trees)
        found.forest.info = found.sampled.info = info
        require_episodes(found.sampled, f"step {step}")
        return found

    async def _ordinary(
        self, step: int, algorithm: Algorithm, found: Collected, writer: ForestWriter
    ) -> None:
        """Draw tasks until enough groups are kept, or the filter's rounds are used up."""
        rollout = self._config.rollout
        refill = getattr(algorithm.group_filter, "refill", False)
        most = rollout.max_rounds if refill else 1
        epoch = self._cursor.position // len(self._cursor.panel)
        prompting = prompting_of(algorithm.prompt, self._memory, self._config.seed, epoch)
        while found.rounds < most and len(found.forest) < rollout.tasks_per_step:
            prefix = f"{step:06d}-" if not found.rounds else f"{step:06d}.{found.rounds}-"
            short = rollout.tasks_per_step - len(found.forest)
            ready = self._parts.scheduler.unfinished
            tasks = self._cursor.next(max(short + rollout.extra_tasks - ready, 0))
            if self.references is not None:
                await self.references.provide(tasks)
            trees = await self._play(
                tasks,
                step,
                prefix,
                writer,
                found,
                wanted=short if rollout.extra_tasks or ready else None,
                keep=(lambda tree: bool(_kept(algorithm, [tree]))) if most > 1 else None,
                strategy=algorithm.rollout,
                prompting=prompting,
            )
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
            chosen, step, prefix, writer, found, temperature=strategy.temperature, source="control"
        )

    async def _play(
        self,
        tasks: Sequence[Task],
        step: int,
        prefix: str,
        writer: ForestWriter,
        found: Collected,
        *,
        wanted: int | None = None,
        keep: Callable[[Tree], bool] | None = None,
        strategy: RolloutStrategy | None = None,
        temperature: float = 1.0,
        source: str = "",
        prompting: Prompting | None = None,
    ) -> list[Tree]:
        config, parts = self._config, self._parts
        policy = assembly.rollout_policy(
            config,
            parts.engine,
            parts.scheduler.settings,
            step,
            temperature,
            temperature_rule(strategy),
        )

        def done(tree: Tree) -> None:
            found.cut += bool(tree.info.get("cut"))
            if source:
                tree.info["source"] = source
            writer.write(tree)

        forest = await parts.scheduler.collect(
            tasks,
            policy,
            group_size=assembly.group_size(config, parts.learner.algorithm),
            plan_of=self._plans.of(strategy),
            wanted=wanted,
            keep=keep,
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
