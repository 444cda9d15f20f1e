"""Score a model directory with a run's own settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import torch

from agentrl import assembly
from agentrl.checkpoint import MANIFEST, CheckpointStore, verify
from agentrl.config import RunConfig
from agentrl.envs.base import TextEnv
from agentrl.errors import ConfigError
from agentrl.evaluation.panel import score_panel
from agentrl.evaluation.score import PanelScore
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


def evaluate_model(config: RunConfig, model: Path, split: str, output: Path) -> PanelScore:
    """Score a model on a whole panel, drawing as every evaluation of a run does.

    Args:
        config: environment, rollout and evaluation settings.
        model: directory in the Hugging Face format.
        split: `train` or `heldout`.
        output: directory for the score and the trajectories.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    env_class, panels = assembly.build_panels(config)
    panel = panels.train if split == "train" else panels.heldout
    if not panel:
        raise ConfigError(f"`environment.{split}` gives an empty panel; there is nothing to score.")
    assembly.prepare_tasks(env_class, panel)
    path = output / f"{model.name}-{split}.jsonl"
    return asyncio.run(_evaluate(config, env_class, panel, model, split, path))


async def _evaluate(
    config: RunConfig,
    env_class: type[TextEnv],
    panel: TaskPanel,
    model: Path,
    split: str,
    path: Path,
) -> PanelScore:
    module, tokenizer = assembly.read_model(config, model)
    engine = assembly.build_engine(config, module, tokenizer)
    try:
        async with assembly.build_pool(config) as pool:
            scheduler = assembly.build_scheduler(
                config, env_class, pool, tokenizer, engine.max_context
            )
            return await score_panel(
                scheduler,
                assembly.evaluation_policy(config, engine, scheduler.settings, split),
                panel,
                episodes_per_task=config.evaluation.episodes_per_task,
                path=path,
            )
    finally:
        await engine.close()
