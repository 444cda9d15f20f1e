"""Build the parts of a run from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from agentrl import algorithms, envs
from agentrl.algorithms import Algorithm
from agentrl.config.schema import RunConfig
from agentrl.engines.base import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.envs.base import Prompt, TextEnv
from agentrl.errors import ConfigError, unknown_name
from agentrl.learner import Learner
from agentrl.models.load import load as load_model
from agentrl.models.tiny import build_model, build_tokenizer
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import ContextMode, Renderer
from agentrl.types import TaskPanel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels of a run."""

    train: TaskPanel
    heldout: TaskPanel

    def hashes(self) -> dict[str, str]:
        """Content hash of each panel."""
        return {"train": self.train.hash, "heldout": self.heldout.hash}


def device_of(config: RunConfig) -> torch.device:
    """Return the device of `model.device`."""
    name = config.model.device
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"`model.device` is {name!r}; use auto, cpu, cuda or cuda:N.") from error


def build_panels(config: RunConfig) -> tuple[type[TextEnv], Panels]:
    """Look up the environment and build its panels."""
    env_class = envs.env_class(config.environment.id)
    train = env_class.panel("train", **config.environment.train)
    heldout = env_class.panel("heldout", **config.environment.heldout)
    if not train:
        raise ConfigError("`environment.train` gives an empty panel.")
    return env_class, Panels(train, heldout)


def prepare_tasks(env_class: type[TextEnv], panel: TaskPanel) -> None:
    """Let the environment make what the tasks need, for example generate games."""
    prepare = getattr(env_class, "prepare", None)  # classes that do not derive from TextEnv
    if prepare is not None:
        prepare(panel)


def build_algorithm(config: RunConfig) -> Algorithm:
    """Look up the algorithm and apply its options."""
    return algorithms.get(config.algorithm.name, **config.algorithm.options)


def fresh_model(config: RunConfig, texts: list[str]) -> tuple[nn.Module, Any]:
    """Load `model.path`, or build a small model and its tokenizer from `texts`."""
    settings = config.model
    if settings.path is not None:
        dtype = DTYPES[settings.dtype]
        return load_model(settings.path, dtype=dtype, device=device_of(config))
    tokenizer = build_tokenizer(texts, vocab_size=settings.vocab_size)
    model = build_model(
        tokenizer,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        heads=settings.heads,
        kv_heads=settings.heads // 2,
        max_context=settings.max_context or 2048,
        seed=config.seed,
        dtype=DTYPES[settings.dtype],
    )
    return model.to(device_of(config)), tokenizer


def build_engine(config: RunConfig, model: nn.Module, tokenizer: Any) -> EmbeddedEngine:
    """Build the inference engine over the learner's own weights."""
    return EmbeddedEngine(
        model,
        tokenizer,
        max_batch_tokens=config.engine.max_batch_tokens,
        cache_bytes=int(config.engine.cache_gib * 2**30),
        max_context=config.model.max_context or None,
    )


def build_learner(config: RunConfig, model: nn.Module) -> Learner:
    """Build the learner for the configured algorithm."""
    return Learner(
        model,
        build_algorithm(config),
        config.learner,
        temperature=config.rollout.temperature,
        total_steps=config.steps * config.learner.updates_per_step,
        seed=config.seed,
    )


def build_pool(config: RunConfig) -> EnvPool:
    """Build the pool of environment processes; start it with `async with`."""
    settings = config.environment
    return EnvPool(
        settings.workers,
        call_timeout=settings.call_timeout,
        episodes_per_worker=settings.episodes_per_worker,
        env_ids=(settings.id,),
    )


def prompt_of(config: RunConfig, env_class: type[TextEnv]) -> Prompt:
    """Return the environment's prompt, or the variant named by `environment.prompt`."""
    name = config.environment.prompt
    if name is None:
        return env_class.prompt
    variants: Mapping[str, Prompt] = getattr(env_class, "prompts", {})
    if name not in variants:
        raise unknown_name("`environment.prompt`", name, variants)
    return variants[name]


def build_scheduler(
    config: RunConfig, env_class: type[TextEnv], pool: EnvPool, tokenizer: Any, max_context: int
) -> RolloutScheduler:
    """Build the rollout scheduler."""
    settings = EpisodeSettings(
        renderer=Renderer(tokenizer),
        prompt=prompt_of(config, env_class),
        context=ContextMode.parse(config.rollout.context),
        max_turns=config.rollout.max_turns,
        max_tokens_per_turn=config.rollout.max_tokens_per_turn,
        max_context=max_context,
    )
    return RolloutScheduler(
        pool,
        settings,
        max_resamples=config.rollout.max_resamples,
        deterministic=config.rollout.deterministic,
    )


def sampling_of(
    config: RunConfig, scheduler: RolloutScheduler, temperature: float
) -> SamplingParams:
    """Return the sampling settings of a rollout."""
    rollout, episodes = config.rollout, scheduler.settings
    return SamplingParams(
        temperature=temperature,
        top_p=rollout.top_p,
        top_k=rollout.top_k,
        max_tokens=rollout.max_tokens_per_turn,
        stop_ids=episodes.renderer.stop_ids,
        stop_strings=episodes.prompt.stop_strings,
    )
