"""The synchronous training loop: collect a forest, update, evaluate, save."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from agentrl import assembly
from agentrl.checkpoint import Checkpoint, CheckpointStore
from agentrl.config import RunConfig, save_config
from agentrl.config.load import to_plain
from agentrl.envs.base import TextEnv
from agentrl.rollout.policy import seed_of
from agentrl.training.collection import Collector
from agentrl.training.engine_metrics import engine_metrics
from agentrl.training.evaluations import Evaluations
from agentrl.training.metrics import MetricsLog
from agentrl.training.mismatch_alarm import MismatchAlarm
from agentrl.training.parts import Parts, build_parts
from agentrl.training.progress import Progress
from agentrl.training.prompts import prompting_of, remember
from agentrl.training.resume import check_resumable
from agentrl.training.run_directory import RunDirectory
from agentrl.training.summary import conclude
from agentrl.training.tasks import TaskCursor
from agentrl.training.warmup import warm_up


def train(config: RunConfig, console: Console | None = None) -> dict[str, Any]:
    """Run training to its end and return the summary.

    A run directory that holds an unfinished run is gone on with, from its last checkpoint; the
    outcome is the same as if it had never been interrupted (bit for bit on a CPU with
    `rollout.deterministic`).  A finished run is moved aside to `<run_dir>.old-N`.

    Args:
        config: the whole configuration.
        console: where progress is written; by default standard output.

    Raises:
        ConfigError: a setting is wrong, or does not fit the run that is to go on.
        UnknownNameError: there is no such environment, algorithm or option.
        DataError: a checkpoint or a model is damaged, or a panel has changed.
        ContextOverflow: a task's first prompt does not fit the context.
        EnvironmentFailure: not a single episode of a step could be played.
        TrainingDiverged: too many updates in a row were not finite.
    """
    started = time.monotonic()
    if config.threads:
        torch.set_num_threads(config.threads)
    env_class, panels = assembly.build_panels(config)
    assembly.check(config, env_class)
    files = RunDirectory(Path(config.run_dir))
    progress = Progress(config.steps, console)
    aside = files.set_finished_aside(config.steps)
    if aside is not None:
        progress.say(f"A finished run was in {files.path}; it is now in {aside}.")
    with files.locked():
        checkpoint = CheckpointStore(files.checkpoints).latest()
        if checkpoint is not None:
            check_resumable(checkpoint, config, panels)
            progress.say(f"Going on from {checkpoint.path}.")
        save_config(config, files.config)
        for panel in (panels.train, panels.heldout):
            with progress.phase(f"Preparing {len(panel)} tasks of {panel.name}"):
                assembly.prepare_tasks(env_class, panel)
        return asyncio.run(_run(config, env_class, panels, files, checkpoint, progress, started))


async def _run(
    config: RunConfig,
    env_class: type[TextEnv],
    panels: assembly.Panels,
    files: RunDirectory,
    checkpoint: Checkpoint | None,
    progress: Progress,
    started: float,
) -> dict[str, Any]:
    async with assembly.build_pool(config) as pool:
        parts = await build_parts(config, env_class, panels, pool, checkpoint, progress)
        trainer = Trainer(config, panels, parts, files, progress, started)
        try:
            await trainer.run(checkpoint)
        finally:
            await parts.scheduler.close()
            await parts.engine.close()
    return conclude(
        config,
        files,
        success=trainer.evaluations.success,
        panel_hashes=panels.hashes(),
        prompt_id=parts.scheduler.settings.prompt_id,
        seconds=trainer.seconds(),
        tokenizer=parts.tokenizer,
        progress=progress,
    )


class Trainer:
    """The loop over steps, from the beginning or from a checkpoint.

    Args:
        config: the whole configuration.
        panels: the tasks to learn from and to be scored on.
        parts: model, engine, learner, scheduler.
        files: where everything is written.
        progress: what a person sees.
        started: `time.monotonic()` when the run, or this part of it, began.

    Attributes:
        evaluations: the scores so far.
    """

    def __init__(
        self,
        config: RunConfig,
        panels: assembly.Panels,
        parts: Parts,
        files: RunDirectory,
        progress: Progress,
        started: float,
    ) -> None:
        settings = parts.learner.algorithm.memory
        self._memory = None if settings is None else settings.start()
        self.evaluations = Evaluations(
            config,
            panels,
            parts.engine,
            parts.scheduler,
            files,
            prompting_of(None, self._memory, config.seed, 0),
        )
        self._config = config
        self._panels = panels
        self._parts = parts
        self._files = files
        self._progress = progress
        self._store = CheckpointStore(files.checkpoints, config.checkpoint.keep)
        self._cursor = TaskCursor(panels.train, seed_of(config.seed, "tasks"))
        self._collector = Collector(config, parts, self._cursor, files, self._memory)
        self._alarm = MismatchAlarm(config, progress.say)
        self._started = started
        self._seconds_before = 0.0

    def seconds(self) -> float:
        """Return how long the run has been going on, in all its parts."""
        return self._seconds_before + time.monotonic() - self._started

    async def run(self, checkpoint: Checkpoint | None) -> None:
        """Train to the last step."""
        log = MetricsLog(
            self._files.path,
            resume_step=None if checkpoint is None else checkpoint.step,
            tensorboard=self._config.tensorboard,
            wandb=self._config.wandb,
            config=to_plain(self._config),
        )
        try:
            if checkpoint is None:
                await self._begin(log)
            else:
                self._restore(checkpoint)
            first = 1 if checkpoint is None else checkpoint.step + 1
            with self._progress.steps():
                for step in range(first, self._config.steps + 1):
                    values = await self._step(step)
                    log.write(step, values)
                    self._progress.step(step, values)
                    self._save_if_due(step)
        finally:
            log.close()

    async def _begin(self, log: MetricsLog) -> None:
        """Warm up, and score the policy before training."""
        warmup, parts = self._config.warmup, self._parts
        if warmup.episodes and warmup.steps:
            tasks = self._panels.train.tasks
            await warm_up(
                parts.learner,
                parts.scheduler,
                parts.tokenizer,
                tasks,
                warmup,
                self._config.seed,
                self._progress,
            )
            await parts.publisher.publish(0)
        with self._progress.phase("Scoring the policy before training"):
            values = await self.evaluations.run(0)
        log.write(0, values)
        for split, success in self.evaluations.success.items():
            if 0 in success:
                self._progress.say(f"Success on the {split} panel: {success[0]:.2f}")
        self._save(0)

    async def _step(self, step: int) -> dict[str, float]:
        """Do one training step and return its metrics."""
        before = replace(self._parts.engine.stats)
        times = [time.perf_counter()]
        collected = await self._collector.collect(step)
        times.append(time.perf_counter())
        values = collected.metrics()
        values |= engine_metrics(before, self._parts.engine.stats, times[1] - times[0])
        if self._config.engine.sleep:
            await self._parts.engine.sleep()
        report = self._parts.learner.update(collected.forest, version=step - 1)
        if self._memory is not None:
            remember(self._memory, collected.sampled)
        values |= {f"learner/{name}": value for name, value in report.items()}
        values |= self._alarm.watch(step, values)
        await self._parts.publisher.publish(step)
        times.append(time.perf_counter())
        if self.evaluations.due(step):
            values |= await self.evaluations.run(step)
        times.append(time.perf_counter())
        return values | {
            "time/rollout": times[1] - times[0],
            "time/update": times[2] - times[1],
            "time/evaluation": times[3] - times[2],
            "time/step": times[3] - times[0],
        }

    def _save_if_due(self, step: int) -> None:
        every = self._config.checkpoint.every
        if step == self._config.steps or (every and step % every == 0):
            self._save(step)

    def _save(self, step: int) -> None:
        references = self._collector.references
        state = {
            "learner": self._parts.learner.state_dict(),
            "cursor": self._cursor.position,
            "success": self.evaluations.success,
            "panel_hashes": self._panels.hashes(),
            "prompt": self._parts.scheduler.settings.prompt_id,
            "config": to_plain(self._config),
            "seconds": self.seconds(),
            "memory": None if self._memory is None else self._memory.state_dict(),
            "references": None if references is None else references.state_dict(),
        }
        self._store.save(step, self._parts.model, self._parts.tokenizer, state)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._cursor.position = checkpoint.state["cursor"]
        self.evaluations.success = checkpoint.state["success"]
        self._seconds_before = checkpoint.state["seconds"]
        if self._memory is not None:
            self._memory.load_state_dict(checkpoint.state["memory"])
        if self._collector.references is not None:
            self._collector.references.load_state_dict(checkpoint.state["references"])
