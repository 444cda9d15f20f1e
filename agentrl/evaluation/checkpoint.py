"""Score a model directory with a run's own settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from agentrl import assembly
from agentrl.checkpoint import MANIFEST, CheckpointStore, verify
from agentrl.config import RunConfig
from agentrl.config.load import merge
from agentrl.config.panels import build_panel
from agentrl.envs.base import TextEnv
from agentrl.envs.prompts import prompt_id
from agentrl.errors import ConfigError
from agentrl.evaluation.panel import play_panel
from agentrl.evaluation.protocol import DRAWS, Protocol, apply_protocol
from agentrl.evaluation.record import records_of
from agentrl.evaluation.score import PanelScore
from agentrl.evaluation.table import EvaluationTable
from agentrl.evaluation.transcripts import (
    EvaluationHeader,
    assemble,
    panel_info,
    panel_setting,
)
from agentrl.evaluation.versions import versions_of
from agentrl.publishing import Publisher
from agentrl.types import TaskPanel


def locate(path: Path) -> tuple[Path, Path | None]:
    """Return the model directory that `path` means, and the run it belongs to, if any.

    Args:
        path: a run directory (its last checkpoint is meant), a checkpoint, or a model directory.

    Raises:
        ConfigError: there is no such directory, or the run in it has no checkpoint yet.
        DataError: the checkpoint is corrupt.
    """
    if not path.is_dir():
        raise ConfigError(f"There is no model or run directory {str(path)!r}.")
    if (path / "config.yaml").is_file():
        paths = CheckpointStore(path / "checkpoints").paths()
        if not paths:
            raise ConfigError(f"The run in {str(path)!r} has no checkpoint yet.")
        path = paths[-1]
    path = path.absolute()
    if not (path / MANIFEST).is_file():
        return path, None
    verify(path)
    run = path.parent.parent
    in_run = path.parent.name == "checkpoints" and (run / "config.yaml").is_file()
    return path, run if in_run else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvaluation:
    """What a model is to play.

    Attributes:
        splits: splits of the environment, in the order of the table.
        panel: options laid over those of the configuration.
        protocol: every task once, or a sample as published evaluations draw it.
        draws: size of the sample.
        seed: of the sample.
    """

    splits: Sequence[str] = ("heldout",)
    panel: Mapping[str, Any] = field(default_factory=dict)
    protocol: Protocol = "exact"
    draws: int = DRAWS
    seed: int = 0


def split_panel(
    config: RunConfig, env_class: type[TextEnv], split: str, options: Mapping[str, Any]
) -> TaskPanel:
    """Return the panel of a split under a run's settings.

    `train` and `heldout` are the run's own panels.  Any other split has the options of
    `environment.heldout` except `count` and `seed`, so that it is the whole split in its order.

    Args:
        config: settings of the run.
        env_class: its environment.
        split: any split of the environment.
        options: laid over the options of the configuration.

    Raises:
        UnknownNameError: there is no such split or option.
        ConfigError: an option has a wrong value, or the panel is empty.
    """
    own = config.environment.train if split == "train" else config.environment.heldout
    setting = f"environment.{'train' if split == 'train' else 'heldout'}"
    if split not in ("train", "heldout"):
        own = {name: value for name, value in own.items() if name not in ("count", "seed")}
    panel = build_panel(env_class, split, merge(own, options), setting)
    if not panel:
        raise ConfigError(f"`{setting}` gives an empty panel; there is nothing to score.")
    return panel


def evaluate_model(
    config: RunConfig, model: Path, evaluation: ModelEvaluation, output: Path
) -> tuple[list[PanelScore], EvaluationTable]:
    """Score a model on whole panels, drawing as every evaluation of a run does.

    Args:
        config: environment, rollout and evaluation settings.
        model: directory in the Hugging Face format.
        evaluation: what is played.
        output: directory for the scores and the trajectories.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    env_class, _ = assembly.build_panels(config)
    panels = {}
    for split in evaluation.splits:
        whole = split_panel(config, env_class, split, evaluation.panel)
        panels[split] = apply_protocol(
            whole, evaluation.protocol, draws=evaluation.draws, seed=evaluation.seed
        )
        assembly.prepare_tasks(env_class, panels[split])
    return asyncio.run(_evaluate(config, env_class, model, panels, evaluation, output))


async def _evaluate(
    config: RunConfig,
    env_class: type[TextEnv],
    model: Path,
    panels: Mapping[str, TaskPanel],
    evaluation: ModelEvaluation,
    output: Path,
) -> tuple[list[PanelScore], EvaluationTable]:
    module, tokenizer = assembly.read_model(config, model)
    engine = await asyncio.to_thread(assembly.build_engine, config, module, tokenizer)
    scores, results = [], []
    try:
        await Publisher(module, engine, assembly.DTYPES[config.model.dtype]).publish(0)
        async with assembly.build_pool(config) as pool:
            scheduler = assembly.build_scheduler(
                config, env_class, pool, tokenizer, engine.max_context
            )
            for split, panel in panels.items():
                # Nothing cached by an earlier panel may matter to the next.
                await engine.update_weights(None, engine.version)
                header = _header(config, env_class, model, split, panel, evaluation)
                forest, score = await play_panel(
                    scheduler,
                    assembly.evaluation_policy(config, engine, scheduler.settings, split),
                    panel,
                    episodes_per_task=config.evaluation.episodes_per_task,
                    path=output / f"{model.name}-{split}.jsonl",
                    info={"evaluation": header.to_json()},
                )
                scores.append(score)
                results.append((header, records_of(forest)))
    finally:
        await engine.close()
    return scores, assemble(results)


def _header(
    config: RunConfig,
    env_class: type[TextEnv],
    model: Path,
    split: str,
    panel: TaskPanel,
    evaluation: ModelEvaluation,
) -> EvaluationHeader:
    settings: dict[str, Any] = {
        "protocol": evaluation.protocol,
        **panel_setting(evaluation.panel),
        "episodes_per_task": config.evaluation.episodes_per_task,
        "seed": config.seed,
        "temperature": config.evaluation.temperature,
        "prompt": prompt_id(env_class, config.environment.prompt),
        "context": config.rollout.context,
        "max_turns": config.rollout.max_turns,
        "max_tokens_per_turn": config.rollout.max_tokens_per_turn,
    }
    if evaluation.protocol == "compatible":
        settings["draw_seed"] = evaluation.seed
    return EvaluationHeader(
        environment=config.environment.id,
        agent=model.name,
        settings=settings,
        panel=panel_info(split, panel.name, panel.hash, [task.task_type for task in panel]),
        versions=versions_of(env_class),
    )
