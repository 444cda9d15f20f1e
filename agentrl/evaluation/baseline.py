"""Let an agent without a model play panels, in worker processes, and score it."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentrl.envs.base import Info, TextEnv, episode_metrics
from agentrl.envs.progress import progress_bar
from agentrl.errors import EnvironmentFailure
from agentrl.evaluation.agents import Agent
from agentrl.evaluation.record import NO_ACTION, EpisodeRecord
from agentrl.evaluation.table import EvaluationTable
from agentrl.evaluation.transcripts import (
    EpisodeWriter,
    EvaluationHeader,
    assemble,
    panel_info,
    unfinished,
)
from agentrl.evaluation.versions import versions_of
from agentrl.rollout.policy import seed_of
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.tree import StopReason
from agentrl.types import Task, TaskPanel

_HOPELESS = 8
"""So many failed episodes at the start, and nothing else, end an evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """How an agent without a model plays.

    Attributes:
        episodes_per_task: episodes of each task.
        seed: of random choices; each episode's also depends on its task and number.
        workers: environment processes, one episode each at a time; default one per core.
        call_timeout: seconds one reset or step may take.
        max_turns: most actions in an episode, for environments without a limit of their own.
        labels: what else is written beside the score, for example the protocol.
    """

    episodes_per_task: int = 1
    seed: int = 0
    workers: int = field(default_factory=lambda: max(2, os.cpu_count() or 2))
    call_timeout: float = 120.0
    max_turns: int = 1000
    labels: tuple[tuple[str, Any], ...] = ()


def evaluate_agent(
    env_id: str,
    env_class: type[TextEnv],
    panels: Sequence[tuple[str, TaskPanel]],
    agent: Agent,
    settings: BaselineSettings,
    output: Path,
    *,
    quiet: bool = False,
) -> EvaluationTable:
    """Play whole panels and score them; failed episodes are recorded and are in no mean.

    An evaluation that was cut short goes on where it was, if nothing about it has changed; episodes
    that failed are then played again.

    Args:
        env_id: id of the environment.
        env_class: its class.
        panels: split and panel, in the order of the table.
        agent: chooses the actions.
        settings: how it is played.
        output: folder of the files, one per split.
        quiet: show no progress.

    Raises:
        ConfigError: the environment does not have what the agent needs.
        EnvironmentFailure: the first episodes all failed.
    """
    results = []
    for split, panel in panels:
        prepare = getattr(env_class, "prepare", None)  # classes that do not derive from TextEnv
        if prepare is not None:
            prepare(panel)
        header = _header(env_id, env_class, split, panel, agent, settings)
        path = output / f"{_file_name(agent.name, env_id, split, panel.hash)}.jsonl"
        done = unfinished(path, header)
        with EpisodeWriter(path, header, done) as writer:
            game = _Game(panel, agent, settings, writer, done)
            asyncio.run(game.play(env_id, f"{agent.name}, {split}", quiet))
        results.append((header, game.records))
    return assemble(results)


def _header(
    env_id: str,
    env_class: type[TextEnv],
    split: str,
    panel: TaskPanel,
    agent: Agent,
    settings: BaselineSettings,
) -> EvaluationHeader:
    types = [task.task_type for task in panel]
    return EvaluationHeader(
        environment=env_id,
        agent=agent.name,
        settings={
            **dict(settings.labels),
            "episodes_per_task": settings.episodes_per_task,
            "seed": settings.seed,
        },
        panel=panel_info(split, panel.name, panel.hash, types),
        versions=versions_of(env_class),
    )


def _file_name(agent: str, env_id: str, split: str, digest: str) -> str:
    name = env_id.rpartition(":")[2].rpartition("/")[2]
    return f"{agent}-{name}-{split}-{digest}"


class _Game:
    """The episodes of one panel."""

    def __init__(
        self,
        panel: TaskPanel,
        agent: Agent,
        settings: BaselineSettings,
        writer: EpisodeWriter,
        done: list[dict[str, Any]],
    ) -> None:
        self.agent = agent
        self.settings = settings
        self.writer = writer
        self.records = [EpisodeRecord.from_json(episode) for episode in done]
        known = {(record.task, record.episode) for record in self.records}
        self.queue = deque(
            (task, number)
            for task in panel
            for number in range(settings.episodes_per_task)
            if (task.id, number) not in known
        )

    async def play(self, env_id: str, title: str, quiet: bool) -> None:
        """Play what is in the queue."""
        slots = min(self.settings.workers, len(self.queue))
        if slots == 0:
            return
        timeout = self.settings.call_timeout
        with progress_bar(title, len(self.queue), quiet) as advance:
            async with EnvPool(slots, call_timeout=timeout, env_ids=(env_id,)) as pool:
                try:
                    async with asyncio.TaskGroup() as players:
                        for _ in range(slots):
                            players.create_task(self._player(pool, advance))
                except ExceptionGroup as errors:  # one player's error has cancelled the others
                    raise errors.exceptions[0] from None

    async def _player(self, pool: EnvPool, advance: Callable[[], None]) -> None:
        while self.queue:
            task, number = self.queue.popleft()
            episode = _Episode(task, number, self.agent, self.settings)
            await episode.play(pool)
            self.records.append(episode.record)
            self.writer.write({**episode.record.to_json(), "text": episode.text})
            advance()
            self._check()

    def _check(self) -> None:
        """Stop where nothing works: a missing package is one error, not one per task."""
        if len(self.records) == _HOPELESS and all(record.failed for record in self.records):
            raise EnvironmentFailure(
                f"The first {_HOPELESS} episodes all failed, so there is nothing to score. "
                f"The last error: {self.records[-1].error}"
            )


class _Episode:
    """One episode and its transcript."""

    def __init__(self, task: Task, number: int, agent: Agent, settings: BaselineSettings) -> None:
        self.task = replace(task, options={**task.options, **agent.reset_options})
        self.agent = agent
        self.settings = settings
        self.record = EpisodeRecord(
            task=task.id, episode=number, split=task.split, task_type=task.task_type
        )
        self.text: dict[str, Any] = {"goal": "", "observation": "", "steps": []}
        self._rng = random.Random(seed_of(settings.seed, agent.name, task.id, number))

    async def play(self, pool: EnvPool) -> None:
        """Play; failures of the environment are recorded, never raised."""
        started = time.perf_counter()
        try:
            async with pool.lease() as handle:
                await self._run(handle)
        except EnvironmentFailure as error:
            timeout = error.kind == "timeout"
            self._note(
                stop=str(StopReason.ENV_TIMEOUT if timeout else StopReason.ENV_ERROR),
                error=str(error),
                error_kind=error.kind,
            )
        self._note(seconds=time.perf_counter() - started)

    async def _run(self, handle: EnvHandle) -> None:
        observation, info = await handle.reset(self.task)
        self.text |= {"goal": info["task"], "observation": observation}
        stop: str | None = None
        while stop is None:
            action = self.agent.act(info, self._rng)
            if action is None:
                stop = NO_ACTION
            else:
                stop, info = await self._act(handle, action)
        metrics = episode_metrics(info)
        self._note(stop=stop, success=metrics["success"], score=metrics["score"])

    async def _act(self, handle: EnvHandle, action: str) -> tuple[str | None, Info]:
        observation, reward, terminated, truncated, info = await handle.step(action)
        valid = bool(info["action_valid"])
        self.text["steps"].append(
            {"action": action, "valid": valid, "reward": reward, "observation": observation}
        )
        record = self.record
        self._note(
            steps=record.steps + 1,
            reward=record.reward + reward,
            invalid_actions=record.invalid_actions + (not valid),
        )
        if terminated:
            return str(StopReason.TERMINATED), info
        if truncated or self.record.steps >= self.settings.max_turns:
            return str(StopReason.TRUNCATED_TURNS), info
        return None, info

    def _note(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
