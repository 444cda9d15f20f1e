"""The working parts of a run, fresh or from a checkpoint."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from torch import nn

from agentrl import assembly
from agentrl.checkpoint import Checkpoint
from agentrl.config import RunConfig
from agentrl.engines.base import Engine
from agentrl.envs.base import TextEnv
from agentrl.learner import Learner
from agentrl.publishing import Publisher
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.training.progress import Progress
from agentrl.training.warmup import collect_texts


@dataclass(frozen=True, slots=True)
class Parts:
    """What takes part in every step.

    Attributes:
        model: the trained model.
        tokenizer: its tokenizer.
        engine: samples from the model.
        publisher: brings the model's weights to the engine.
        learner: trains the model.
        scheduler: plays episodes.
    """

    model: nn.Module
    tokenizer: Any
    engine: Engine
    publisher: Publisher
    learner: Learner
    scheduler: RolloutScheduler


async def build_parts(
    config: RunConfig,
    env_class: type[TextEnv],
    panels: assembly.Panels,
    pool: EnvPool,
    checkpoint: Checkpoint | None,
    progress: Progress,
) -> Parts:
    """Build all parts; with a checkpoint, in the state they were in when it was written."""
    model, tokenizer = await _model(config, env_class, panels, pool, checkpoint, progress)
    count = sum(parameter.numel() for parameter in model.parameters())
    progress.say(f"Model: {count:,} parameters, {len(tokenizer)} tokens")
    progress.say(str(assembly.correction_of(config)))
    # Adapters are sent on their own, so that the weights below them never change.
    unchanged = checkpoint is None or config.model.lora is not None
    source = config.model.path if unchanged else None
    engine = await asyncio.to_thread(assembly.build_engine, config, model, tokenizer, source)
    publisher = Publisher(model, engine, assembly.DTYPES[config.model.dtype])
    learner = assembly.build_learner(config, model, tokenizer)
    if checkpoint is not None:
        learner.load_state_dict(checkpoint.state["learner"])
        await publisher.publish(checkpoint.step)
    elif not engine.shares_weights:
        await publisher.publish(0)  # a server has other weights; and engine and learner must agree
    scheduler = assembly.build_scheduler(config, env_class, pool, tokenizer, engine.max_context)
    return Parts(model, tokenizer, engine, publisher, learner, scheduler)


async def _model(
    config: RunConfig,
    env_class: type[TextEnv],
    panels: assembly.Panels,
    pool: EnvPool,
    checkpoint: Checkpoint | None,
    progress: Progress,
) -> tuple[nn.Module, Any]:
    if checkpoint is not None:
        return assembly.trained_model(config, checkpoint.path)
    if config.model.path is not None:
        return assembly.trained_model(config)
    with progress.phase("Reading the environment"):
        prompt = assembly.prompt_of(config, env_class)
        texts = await collect_texts(
            pool, panels.train.tasks, prompt, expert=config.warmup.episodes > 0
        )
    return assembly.small_model(config, texts)
