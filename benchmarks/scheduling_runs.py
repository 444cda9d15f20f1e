"""How `rollout_scheduling.py` plays and times a rollout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentrl.envs.base import Prompt
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import ContextMode, Renderer
from agentrl.tree import Writer
from agentrl.types import Task


@dataclass(frozen=True)
class Took:
    """What a rollout took: seconds, of all and of this process, and what it gave."""

    wall: float
    cpu: float
    steps: int
    tokens: int
    failures: dict[str, int]


def settings(renderer: Renderer, prompt: Prompt, max_turns: int = 10**6) -> EpisodeSettings:
    """Return what all episodes of the benchmark have in common."""
    return EpisodeSettings(
        renderer=renderer,
        prompt=prompt,
        context=ContextMode(),
        max_turns=max_turns,
        max_tokens_per_turn=12,
        max_context=2048,
    )


async def rolled_out(
    scheduler: RolloutScheduler, tasks: Sequence[Task], policy: Any, **how: Any
) -> Took:
    """Play one group of each task, of one episode unless a plan says otherwise."""
    wall, cpu = time.perf_counter(), time.process_time()
    forest = await scheduler.collect(tasks, policy, group_size=1, **how)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sampled = [n.ids for tree in forest for n in tree.nodes if n.writer is Writer.MODEL]
    return Took(wall, cpu, len(sampled), sum(map(len, sampled)), dict(forest.failures()))


async def all_started(pool: EnvPool, task: Task) -> tuple[float, float]:
    """Have all processes of a pool started; return the seconds and their memory in MiB."""
    begun = time.perf_counter()
    handles = await asyncio.gather(*(pool.acquire(task) for _ in range(pool.size)))
    await asyncio.gather(*(handle.reset(task) for handle in handles))
    seconds = time.perf_counter() - begun
    memory = sum(proportional_mib(handle.pid) for handle in handles if handle.pid)
    await asyncio.gather(*(handle.close() for handle in handles))
    return seconds, memory


def proportional_mib(pid: int) -> float:
    """Return the process's share of physical memory (PSS; Linux)."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
