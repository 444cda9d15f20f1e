"""The synchronous training loop: collect a forest, update, evaluate, save."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from agentrl import assembly
from agentrl.checkpoint import Checkpoint, CheckpointStore
from agentrl.config import RunConfig, save_config
from agentrl.config.load import to_plain
from agentrl.errors import DataError
from agentrl.evaluation.panel import score_panel
from agentrl.evaluation.score import PanelScore
from agentrl.models.load import load as load_model
from agentrl.rollout.policy import ExpertPolicy, ModelPolicy, seed_of
from agentrl.storage import ForestWriter, read_forest
from agentrl.training.metrics import MetricsLog, read_metrics
from agentrl.training.progress import Progress
from agentrl.training.report import write_report
from agentrl.training.tasks import TaskCursor
from agentrl.training.warmup import collect_texts, expert_forest, imitate
from agentrl.tree import Forest
from agentrl.types import TaskPanel

SHOWN_TREES = 6


def train(config: RunConfig, console: Console | None = None) -> dict[str, Any]:
    """Run training to its end and return the summary.

    A run directory that holds an unfinished run is gone on with, from its last checkpoint; the
    outcome is the same as if it had never been interrupted (bit for bit on a CPU with
    `rollout.deterministic`).  A finished run is moved aside to `<run_dir>.old-N`.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    return asyncio.run(Trainer(config, console).run())


class Trainer:
    """One run, from nothing or from its last checkpoint, to its summary.

    Args:
        config: the whole configuration.
        console: where progress is written; by default standard output.
    """

    def __init__(self, config: RunConfig, console: Console | None = None) -> None:
        self.config = config
        self.run_dir = Path(config.run_dir)
        self.progress = Progress(config.steps, console)
        self.algorithm = assembly.build_algorithm(config)
        self.env_class, self.panels = assembly.build_panels(config)
        self.store = CheckpointStore(self.run_dir / "checkpoints", config.checkpoint.keep)
        self.cursor = TaskCursor(self.panels.train, seed_of(config.seed, "tasks"))
        self.scores: dict[str, Any] = {}
        self.seconds_before = 0.0
        self.started = time.monotonic()

    async def run(self) -> dict[str, Any]:
        """Train, evaluate, report."""
        self._set_finished_run_aside()
        checkpoint = self.store.latest()
        self._check_panels(checkpoint)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        save_config(self.config, self.run_dir / "config.yaml")
        self._prepare_environment()
        async with AsyncExitStack() as stack:
            self.pool = await stack.enter_async_context(assembly.build_pool(self.config))
            await self._build(checkpoint)
            stack.push_async_callback(self.engine.close)
            self.log = self._open_log(checkpoint)
            stack.callback(self.log.close)
            first = await self._begin(checkpoint)
            with self.progress.steps():
                for step in range(first, self.config.steps + 1):
                    await self._step(step)
            return await self._finish()

    # -- beginning -----------------------------------------------------------------------------

    def _set_finished_run_aside(self) -> None:
        summary = self.run_dir / "summary.json"
        if not summary.exists():
            return
        if json.loads(summary.read_text()).get("steps", 0) < self.config.steps:
            summary.unlink()  # more steps are asked for: go on
            return
        number = 1
        while (aside := self.run_dir.with_name(f"{self.run_dir.name}.old-{number}")).exists():
            number += 1
        self.run_dir.rename(aside)
        self.progress.say(f"A finished run was in {self.run_dir}; it is now in {aside}.")

    def _check_panels(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            return
        self.progress.say(f"Going on from {checkpoint.path}.")
        stored, now = checkpoint.state["panel_hashes"], self.panels.hashes()
        changed = [name for name in now if stored.get(name) != now[name]]
        if changed:
            name = changed[0]
            raise DataError(
                f"The {name} panel has hash {now[name]}, but the run in {self.run_dir} was "
                f"started with {stored.get(name)}. Restore `environment.{name}`, or use another "
                "`run_dir`."
            )

    def _prepare_environment(self) -> None:
        for panel in (self.panels.train, self.panels.heldout):
            with self.progress.phase(f"Preparing {len(panel)} tasks of {panel.name}"):
                assembly.prepare_tasks(self.env_class, panel)

    async def _build(self, checkpoint: Checkpoint | None) -> None:
        """Build model, engine, learner and scheduler, fresh or from a checkpoint."""
        config = self.config
        if checkpoint is None:
            texts = []
            if config.model.path is None:
                with self.progress.phase("Reading the environment"):
                    tasks = self.panels.train.tasks
                    texts = await collect_texts(self.pool, tasks, assembly.prompt_of(config, self.env_class))
            self.model, self.tokenizer = assembly.fresh_model(config, texts)
        else:
            dtype, device = assembly.DTYPES[config.model.dtype], assembly.device_of(config)
            self.model, self.tokenizer = load_model(checkpoint.path, dtype=dtype, device=device)
        parameters = sum(p.numel() for p in self.model.parameters())
        self.progress.say(f"Model: {parameters:,} parameters, {len(self.tokenizer)} tokens")
        self.engine = assembly.build_engine(config, self.model, self.tokenizer)
        self.learner = assembly.build_learner(config, self.model)
        if checkpoint is not None:
            self.learner.load_state_dict(checkpoint.state["learner"])
            self.cursor.position = checkpoint.state["cursor"]
            self.scores = checkpoint.state["scores"]
            self.seconds_before = checkpoint.state["seconds"]
            await self.engine.update_weights(None, checkpoint.step)
        self.scheduler = assembly.build_scheduler(
            config, self.env_class, self.pool, self.tokenizer, self.engine.max_context
        )

    def _open_log(self, checkpoint: Checkpoint | None) -> MetricsLog:
        return MetricsLog(
            self.run_dir,
            resume_step=checkpoint.step if checkpoint else None,
            tensorboard=self.config.tensorboard,
            wandb=self.config.wandb,
            config=to_plain(self.config),
        )

    async def _begin(self, checkpoint: Checkpoint | None) -> int:
        """Warm up and score the policy before training; return the first step to do."""
        if checkpoint is not None:
            return checkpoint.step + 1
        if self.config.warmup.episodes and self.config.warmup.steps:
            await self._warm_up()
        self.log.write(0, await self._evaluate(0, whole=True))
        self._save(0)
        return 1

    async def _warm_up(self) -> None:
        settings, seed = self.config.warmup, self.config.seed
        end = self.scheduler.settings.renderer.end_of_turn_id
        policy = ExpertPolicy(self._encode, end, settings.noise, seed)
        with self.progress.phase(f"Playing {settings.episodes} expert episodes"):
            tasks = self.panels.train.tasks
            forest = await expert_forest(self.scheduler, tasks, policy, settings.episodes)
        with self.progress.phase(f"Imitating them for {settings.steps} steps"):
            metrics = imitate(self.learner, forest, settings, seed)
        self.progress.say(f"Imitation loss {metrics[0]['loss']:.3f} -> {metrics[-1]['loss']:.3f}")
        await self.engine.update_weights(None, 0)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    # -- one step ------------------------------------------------------------------------------

    async def _step(self, step: int) -> None:
        clock = [time.perf_counter()]
        forest = await self._collect(step)
        clock.append(time.perf_counter())
        values = rollout_metrics(forest)
        values |= {f"learner/{key}": value for key, value in self.learner.update(forest).items()}
        await self.engine.update_weights(None, step)
        clock.append(time.perf_counter())
        every = self.config.evaluation.every
        if every and step % every == 0 and step < self.config.steps:
            values |= await self._evaluate(step, whole=False)
        if step == self.config.steps:
            values |= await self._evaluate(step, whole=True)
        values |= {
            "time/rollout": clock[1] - clock[0],
            "time/update": clock[2] - clock[1],
            "time/step": time.perf_counter() - clock[0],
        }
        self.log.write(step, values)
        self.progress.step(step, values)
        every = self.config.checkpoint.every
        if step == self.config.steps or (every and step % every == 0):
            self._save(step)

    async def _collect(self, step: int) -> Forest:
        """Sample the groups of one step and write them to the run directory as they finish."""
        rollout = self.config.rollout
        sampling = assembly.sampling_of(self.config, self.scheduler, rollout.temperature)
        policy = ModelPolicy(self.engine, sampling, seed_of(self.config.seed, "rollout", step))
        tasks = self.cursor.next(rollout.tasks_per_step)
        every = self.config.checkpoint.rollouts_every
        keep = bool(every) and step % every == 0
        path = self.run_dir / "rollouts" / f"step-{step:06d}.jsonl"
        with ForestWriter(path if keep else None, info={"step": step}) as writer:
            forest = await self.scheduler.collect(
                tasks,
                policy,
                group_size=rollout.group_size,
                tree_prefix=f"{step:06d}-",
                on_tree=writer.write,
            )
        forest.info = {"step": step}
        return forest

    async def _evaluate(self, step: int, *, whole: bool) -> dict[str, float]:
        """Score both panels; the full scores go to `eval/`."""
        values: dict[str, float] = {}
        for name, panel in (("train", self.panels.train), ("heldout", self.panels.heldout)):
            limit = self.config.evaluation.tasks_during_training
            part = panel if whole or not limit else panel[:limit]
            if not part:
                continue
            score = await self._score(step, name, part)
            values[f"eval/{name}_success"] = score.success
            values[f"eval/{name}_score"] = score.score
            self.scores.setdefault(name, {})[step] = score.to_json()
        return values

    async def _score(self, step: int, name: str, panel: TaskPanel) -> PanelScore:
        settings = self.config.evaluation
        sampling = assembly.sampling_of(self.config, self.scheduler, settings.temperature)
        return await score_panel(
            self.scheduler,
            ModelPolicy(self.engine, sampling, seed_of(self.config.seed, "eval", name)),
            panel,
            episodes_per_task=settings.episodes_per_task,
            path=self.run_dir / "eval" / f"step-{step:06d}-{name}.jsonl",
        )

    # -- end -----------------------------------------------------------------------------------

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def _save(self, step: int) -> None:
        state = {
            "learner": self.learner.state_dict(),
            "cursor": self.cursor.position,
            "scores": self.scores,
            "panel_hashes": self.panels.hashes(),
            "seconds": self._seconds(),
        }
        self.store.save(step, self.model, self.tokenizer, state)

    async def _finish(self) -> dict[str, Any]:
        """Write the summary and the report."""
        summary = self._summary()
        lines = read_metrics(self.run_dir / "metrics.jsonl")
        rollouts = self.run_dir / "eval" / f"step-{self.config.steps:06d}-heldout.jsonl"
        trees = read_forest(rollouts).trees[:SHOWN_TREES] if rollouts.exists() else []
        write_report(
            self.run_dir / "report.html",
            title=f"AgentRL run {self.run_dir.name}",
            metrics=lines,
            summary=summary,
            trees=trees,
            decode=lambda ids: self.tokenizer.decode(ids, skip_special_tokens=True),
            config_text=(self.run_dir / "config.yaml").read_text(),
        )
        path = self.run_dir / "summary.json"
        path.write_text(json.dumps(summary, indent=1) + "\n")
        self.progress.say(f"Report: {self.run_dir / 'report.html'}")
        return summary

    def _summary(self) -> dict[str, Any]:
        last = self.config.steps
        summary: dict[str, Any] = {"steps": last, "algorithm": self.config.algorithm.name}
        for name, scores in self.scores.items():
            summary[f"{name}_success_warm"] = scores[0]["success"]
            summary[f"{name}_success"] = scores[last]["success"] if last in scores else None
        summary["panel_hashes"] = self.panels.hashes()
        summary["minutes"] = round(self._seconds() / 60, 2)
        return summary


def rollout_metrics(forest: Forest) -> dict[str, float]:
    """Return what a step's rollouts say about the policy, and every failure by kind."""
    episodes = [episode for _, episode in forest.counted()]
    count = max(len(episodes), 1)
    unique = sum(tree.token_counts()[0] for tree in forest.trees)
    separate = sum(tree.token_counts()[1] for tree in forest.trees)
    values = {
        "rollout/episodes": float(len(episodes)),
        "rollout/success": sum(e.metrics.get("success", 0.0) for e in episodes) / count,
        "rollout/score": sum(e.metrics.get("score", 0.0) for e in episodes) / count,
        "rollout/reward": sum(e.reward for e in episodes) / count,
        "rollout/turns": sum(e.turns for e in episodes) / count,
        "rollout/tokens_unique": float(unique),
        "rollout/tokens_separate": float(separate),
    }
    failures = forest.failures()
    values["rollout/failed"] = float(sum(failures.values()))
    return values | {f"failures/{kind}": float(n) for kind, n in sorted(failures.items())}
