"""Score a model directory with a run's own settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import torch

from agentrl import assembly
from agentrl.checkpoint import CheckpointStore
from agentrl.config import RunConfig
from agentrl.errors import ConfigError
from agentrl.evaluation.panel import score_panel
from agentrl.evaluation.score import PanelScore
from agentrl.rollout.policy import ModelPolicy, seed_of


def locate(path: Path) -> tuple[Path, Path | None]:
    """Return the model directory that `path` means, and the configuration that made it, if any.

    Args:
        path: a run directory (its last checkpoint is meant), a checkpoint, or a model directory.
    """
    if not path.is_dir():
        raise ConfigError(f"There is no model or run directory {str(path)!r}.")
    if (path / "checkpoints").is_dir():
        paths = CheckpointStore(path / "checkpoints").paths()
        if not paths:
            raise ConfigError(f"The run in {str(path)!r} has no checkpoint yet.")
        path = paths[-1]
    config = path.parent.parent / "config.yaml"
    return path, config if config.is_file() else None


def evaluate_checkpoint(config: RunConfig, split: str, output: Path) -> PanelScore:
    """Score the model at `config.model.path` on a whole panel.

    Args:
        config: environment, rollout and evaluation settings.
        split: `train` or `heldout`.
        output: where the score and the trajectories are written.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    return asyncio.run(_evaluate(config, split, output))


async def _evaluate(config: RunConfig, split: str, output: Path) -> PanelScore:
    env_class, panels = assembly.build_panels(config)
    panel = panels.train if split == "train" else panels.heldout
    assembly.prepare_tasks(env_class, panel)
    model, tokenizer = assembly.fresh_model(config, [])
    engine = assembly.build_engine(config, model, tokenizer)
    output.mkdir(parents=True, exist_ok=True)
    async with assembly.build_pool(config) as pool:
        scheduler = assembly.build_scheduler(config, env_class, pool, tokenizer, engine.max_context)
        settings = config.evaluation
        sampling = assembly.sampling_of(config, scheduler, settings.temperature)
        policy = ModelPolicy(engine, sampling, seed_of(config.seed, "eval", split))
        score = await score_panel(
            scheduler,
            policy,
            panel,
            episodes_per_task=settings.episodes_per_task,
            path=output / f"{config.model.path and Path(config.model.path).name}-{split}.jsonl",
        )
    await engine.close()
    return score
