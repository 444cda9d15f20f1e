"""AgentRL's side of `trl_comparison.py`: rollout scheduler, embedded engine and learner."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Self

from torch import nn
from trl_workload import ENV_ID, GuessEnv, Workload

from agentrl import algorithms
from agentrl.algorithms.strategies import FixedBranching, for_budget
from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.learner import Learner, LearnerSettings
from agentrl.plans import PlanMaker
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.policy import ModelPolicy
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import ContextMode, Renderer
from agentrl.training.rollout_metrics import sampled_tokens
from agentrl.tree import Forest

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


class AgentrlSide:
    """Makes whole training steps, one at a time; use as a context manager.

    With `branch_after`, a group is one tree that branches in two after each of these turns;
    otherwise its members are independent.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        workload: Workload,
        branch_after: tuple[int, ...] = (),
    ) -> None:
        self.workload = workload
        strategy = FixedBranching(turns=branch_after, roots=1) if branch_after else None
        plans = PlanMaker(tokenizer, seed=0, group_size=workload.members)
        self.plan_of = plans.of(for_budget(strategy, workload.members))
        self.tasks = GuessEnv.panel("train", count=64)
        self.engine = EmbeddedEngine(model, tokenizer)
        settings = LearnerSettings(learning_rate=workload.learning_rate)
        self.learner = Learner(model, algorithms.get("grpo", kl_coefficient=0.0), settings)
        self.pool = EnvPool(workload.episodes, env_ids=(ENV_ID,))
        episodes = EpisodeSettings(
            renderer=Renderer(tokenizer),
            prompt=GuessEnv.prompt,
            context=ContextMode.parse("full"),
            max_turns=workload.turns,
            max_tokens_per_turn=workload.turn_tokens,
            max_context=self.engine.max_context,
        )
        self.scheduler = RolloutScheduler(self.pool, episodes)
        self.steps = 0

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._runner.run(self.pool.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self.engine.close()
        await self.pool.close()

    def step(self) -> dict[str, float]:
        """Collect a forest and learn from it; returns CPU seconds and token counts."""
        before, workers = time.process_time(), descendants_cpu_seconds()
        forest = self._runner.run(self._collect())
        environments = descendants_cpu_seconds() - workers
        collected = time.process_time()
        report = self.learner.update(forest)
        self._runner.run(self.engine.update_weights(None, self.steps + 1))
        trained = time.process_time()
        self.steps += 1
        rollout = collected - before + environments
        return {
            "rollout_s": rollout,
            "environments_s": environments,
            "score_s": 0.0,
            "train_s": trained - collected,
            "step_s": rollout + trained - collected,
            "computed_tokens": report["tokens/unique"],
            **token_counts(forest),
        }

    async def _collect(self) -> Forest:
        groups = self.workload.groups
        first = self.steps * groups
        tasks = [self.tasks[number % len(self.tasks)] for number in range(first, first + groups)]
        sampling = SamplingParams(max_tokens=self.workload.turn_tokens)  # nothing ends a turn early
        policy = ModelPolicy(self.engine, sampling, seed=self.steps)
        return await self.scheduler.collect(
            tasks, policy, group_size=self.workload.members, plan_of=self.plan_of
        )


def token_counts(forest: Forest) -> dict[str, float]:
    """Return how many tokens were sampled, and how long all trajectories are together."""
    if forest.failures():
        raise RuntimeError(f"Episodes failed: {dict(forest.failures())}")
    sampled = sum(sampled_tokens(tree) for tree in forest.trees)
    trajectories = sum(tree.token_counts()[1] for tree in forest.trees)
    prompts = [tree.path(episode.sequences[0])[0] for tree, episode in forest.counted()]
    return {
        "sampled_tokens": float(sampled),
        "trajectory_tokens": float(trajectories),
        "prompt_tokens": max(len(node.ids) for node in prompts),
    }


def descendants_cpu_seconds() -> float:
    """Return the CPU seconds so far of the processes this one started, and of theirs.

    Read from /proc, in clock ticks; processes that have ended and were waited for are part of
    their parent's count.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    return _TICK * sum(
        count for pid, count in ticks.items() if _descends(pid, os.getpid(), parents)
    )


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    at = parents.get(pid)
    while at is not None and at != ancestor:
        at = parents.get(at)
    return at == ancestor
