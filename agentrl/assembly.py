"""Build the parts of a run from its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agentrl import algorithms, envs
from agentrl.algorithms import Algorithm
from agentrl.algorithms.slots import RunFacts
from agentrl.algorithms.strategies.strategy import SizedStrategy, for_budget
from agentrl.config.panels import build_panel
from agentrl.config.schema import RunConfig
from agentrl.correction import Correction, corrected
from agentrl.engines import vllm
from agentrl.engines.base import Engine, SamplingParams, TemperatureRule, check_sampling
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.engines.vllm.features import detect as detect_vllm
from agentrl.envs import prompts
from agentrl.envs.base import Prompt, TextEnv
from agentrl.errors import AgentRLError, ConfigError
from agentrl.learner import Learner
from agentrl.models import lora
from agentrl.models.load import load as load_model
from agentrl.models.tiny import build_model, build_tokenizer
from agentrl.plans import check_strategy
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.policy import ModelPolicy, seed_of
from agentrl.rollout.scheduler import RolloutLimits, RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import ContextMode, Renderer
from agentrl.types import TaskPanel

DEFAULT_GROUP_SIZE = 8
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
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"`model.device` is {name!r}, which this machine does not have; use auto, cpu, cuda "
            "or cuda:N."
        ) from error
    return device


def build_panels(config: RunConfig) -> tuple[type[TextEnv], Panels]:
    """Look up the environment and build its panels.

    Raises:
        UnknownNameError: there is no such environment, or its panels have no such option.
        ConfigError: a panel option has a wrong value, or the training panel is empty.
    """
    env_class = envs.env_class(config.environment.id)
    train = build_panel(env_class, "train", config.environment.train, "environment.train")
    heldout = build_panel(env_class, "heldout", config.environment.heldout, "environment.heldout")
    if not train:
        raise ConfigError("`environment.train` gives an empty panel; training needs tasks.")
    return env_class, Panels(train, heldout)


def check(config: RunConfig, env_class: type[TextEnv]) -> None:
    """Find mistakes that need no work to be found: before games are made and models loaded.

    Raises:
        UnknownNameError: there is no such algorithm, option or prompt.
        ConfigError: an option, the context mode or the device is wrong.
        MissingExtraError: the package that adapters or the engine need is not installed.
    """
    algorithm = build_algorithm(config)
    algorithm.check_run(run_facts(config, algorithm))
    check_strategy(
        algorithm.rollout, env_class, config.environment.id, config.rollout.extra_episodes
    )
    _check_carried(config, group_size(config, algorithm))
    context_of(config, prompt_of(config, env_class))
    device_of(config)
    if config.engine.kind == "vllm" and config.engine.vllm.url is None:
        detect_vllm()
    if config.model.lora is not None:
        lora.require_peft()


def _check_carried(config: RunConfig, episodes: int) -> None:
    """Leave places for the evaluation, which is played while unfinished groups are set aside."""
    rollout, workers = config.rollout, config.environment.workers
    most = rollout.extra_tasks * episodes
    if rollout.unfinished == "continue" and most >= workers:
        raise ConfigError(
            f"`rollout.extra_tasks` x group size is {most}, which may all be set aside between "
            f"steps, but `environment.workers` is {workers}; leave some for the evaluation: more "
            "workers, fewer extra tasks, or `rollout.unfinished=cut`."
        )


def prepare_tasks(env_class: type[TextEnv], panel: TaskPanel) -> None:
    """Let the environment make what the tasks need, for example generate games."""
    prepare = getattr(env_class, "prepare", None)  # classes that do not derive from TextEnv
    if prepare is not None:
        prepare(panel)


def build_algorithm(config: RunConfig) -> Algorithm:
    """Look up the algorithm, apply its options and the correction for the engine.

    Raises:
        UnknownNameError: there is no such algorithm or option.
        ConfigError: an option has a wrong type or value, or the algorithm takes no correction.
    """
    return correction_of(config).algorithm


def correction_of(config: RunConfig) -> Correction:
    """Return the algorithm of `build_algorithm`, with what corrects for the engine, and why."""
    name, options = config.algorithm.name, config.algorithm.options
    defaults = algorithms.settings(name)
    for key, value in options.items():
        default = defaults.get(key)
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if number and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"`algorithm.options.{key}` is {value!r}; it must be a number.")
    try:
        found = corrected(name, options, config.engine)
        strategy = for_budget(found.algorithm.rollout, config.rollout.group_size or None)
        return replace(found, algorithm=replace(found.algorithm, rollout=strategy))
    except AgentRLError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"`algorithm.options` is {dict(options)!r}: {error}") from error


def group_size(config: RunConfig, algorithm: Algorithm) -> int:
    """Return how many episodes a group has: as set, or as the algorithm's strategy has it."""
    strategy = algorithm.rollout
    if isinstance(strategy, SizedStrategy):
        return strategy.rollouts
    return config.rollout.group_size or DEFAULT_GROUP_SIZE


def run_facts(config: RunConfig, algorithm: Algorithm) -> RunFacts:
    """Return what slots may check about the run."""
    return RunFacts(
        group_size=group_size(config, algorithm),
        tasks_per_step=config.rollout.tasks_per_step,
        updates_per_step=config.learner.updates_per_step,
        temperature=config.rollout.temperature,
        layers=config.model.layers if config.model.path is None else 0,
        steps=config.steps,
    )


def read_model(config: RunConfig, path: str | Path) -> tuple[nn.Module, Any]:
    """Load a model and its tokenizer with the configured type and device."""
    return load_model(path, dtype=DTYPES[config.model.dtype], device=device_of(config))


def trained_model(config: RunConfig, checkpoint: Path | None = None) -> tuple[nn.Module, Any]:
    """Load the model to train: that of `model.path`, or of a checkpoint of the same run.

    With `model.lora` it is always the model of `model.path`, with new adapters or those of the
    checkpoint, whose merged weights are rounded.

    Raises:
        ConfigError: adapters are set, and the checkpoint has none, or the other way round.
        DataError: the adapters were trained on other weights.
    """
    settings, path = config.model.lora, config.model.path
    saved = None if checkpoint is None else checkpoint / lora.FOLDER
    if saved is not None and saved.is_dir() != (settings is not None):
        raise ConfigError(
            f"`model.lora` is {'null' if settings is None else 'set'}, but the unfinished run in "
            f"{config.run_dir} was started {'without' if settings else 'with'} it. Go on with that "
            "setting, or choose another `run_dir`."
        )
    if settings is None and checkpoint is not None:
        return read_model(config, checkpoint)
    assert path is not None, "a model from scratch is not loaded"
    model, tokenizer = read_model(config, path)
    if settings is None:
        return model, tokenizer
    lora.add(
        model,
        rank=settings.rank,
        alpha=settings.alpha,
        targets=settings.targets,
        seed=config.seed,
        base=path,
    )
    if saved is not None:
        lora.load(model, saved)
    return model, tokenizer


def small_model(config: RunConfig, texts: Iterable[str]) -> tuple[nn.Module, Any]:
    """Build a small model from scratch, and train its tokenizer on `texts`."""
    settings = config.model
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


def build_engine(
    config: RunConfig, model: nn.Module, tokenizer: Any, source: str | Path | None = None
) -> Engine:
    """Build the inference engine: over the learner's own weights, or with a copy of them.

    Args:
        config: the whole configuration.
        model: what the learner trains.
        tokenizer: of the model.
        source: where the weights of the model (without adapters) were loaded from, if they have not
            changed since; saves writing them once more for vLLM.

    Raises:
        MissingExtraError: the engine's package is not installed.
        EngineError: it does not start.
    """
    settings = config.engine
    cache_bytes = int(settings.cache_gib * 2**30)
    max_context = config.model.max_context or None
    if settings.kind == "vllm":
        return vllm.start(
            model if source is None else source,
            tokenizer,
            settings=settings.vllm,
            dtype=DTYPES[config.model.dtype],
            max_context=max_context,
            max_batch_tokens=settings.max_batch_tokens,
            cache_bytes=cache_bytes,
            # A checkpoint that is scored has its adapters merged.
            lora_rank=config.model.lora.rank if config.model.lora and lora.is_adapted(model) else 0,
        )
    return EmbeddedEngine(
        model,
        tokenizer,
        max_batch_tokens=settings.max_batch_tokens,
        cache_bytes=cache_bytes,
        max_context=max_context,
    )


def build_learner(config: RunConfig, model: nn.Module, tokenizer: Any = None) -> Learner:
    """Build the learner for the configured algorithm."""
    rollout = config.rollout
    prompt = prompt_of(config, envs.env_class(config.environment.id))
    full = context_of(config, prompt).turns is None
    return Learner(
        model,
        build_algorithm(config),
        config.learner,
        temperature=rollout.temperature,
        total_steps=config.steps * config.learner.updates_per_step,
        total_updates=config.steps,
        token_text=None if tokenizer is None else lambda token: str(tokenizer.decode([token])),
        max_row_tokens=rollout.max_tokens_per_turn * (rollout.max_turns if full else 1),
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
        memory_gib=settings.memory_gib,
    )


def prompt_of(config: RunConfig, env_class: type[TextEnv]) -> Prompt:
    """Return the environment's prompt, or the variant named by `environment.prompt`."""
    return prompts.choose(env_class, config.environment.prompt)


def context_of(config: RunConfig, prompt: Prompt) -> ContextMode:
    """Return the context mode of `rollout.context` for a prompt.

    Raises:
        ConfigError: there is no such mode, or the prompt cannot be shown in it.
    """
    return ContextMode.choose(config.rollout.context, per_turn=prompts.is_step_prompt(prompt))


def build_scheduler(
    config: RunConfig, env_class: type[TextEnv], pool: EnvPool, tokenizer: Any, max_context: int
) -> RolloutScheduler:
    """Build the rollout scheduler."""
    prompt = prompt_of(config, env_class)
    settings = EpisodeSettings(
        renderer=Renderer(tokenizer),
        prompt=prompt,
        context=context_of(config, prompt),
        max_turns=config.rollout.max_turns,
        max_tokens_per_turn=config.rollout.max_tokens_per_turn,
        max_context=max_context,
        invalid_action_penalty=config.rollout.invalid_action_penalty,
        prompt_id=prompts.prompt_id(env_class, config.environment.prompt),
    )
    return RolloutScheduler(
        pool,
        settings,
        RolloutLimits(
            max_resamples=config.rollout.max_resamples,
            episode_seconds=config.rollout.episode_timeout,
            group_tokens=config.rollout.group_tokens,
            carry_over=config.rollout.unfinished == "continue",
        ),
        deterministic=config.rollout.deterministic,
    )


def rollout_policy(
    config: RunConfig,
    engine: Engine,
    settings: EpisodeSettings,
    step: int,
    temperature: float = 1.0,
    rule: TemperatureRule | None = None,
) -> ModelPolicy:
    """Return the policy that samples a training step.

    Args:
        config: the whole configuration.
        engine: where completions come from.
        settings: what all episodes have in common.
        step: of the training.
        temperature: multiplies the setting.
        rule: chooses another temperature at every token.

    Raises:
        ConfigError: the engine follows no such rule.
    """
    sampling = _sampling(config, settings, config.rollout.temperature * temperature)
    sampling = replace(sampling, temperature_rule=rule)
    check_sampling(engine, sampling)
    return ModelPolicy(engine, sampling, seed_of(config.seed, "rollout", step))


def evaluation_policy(
    config: RunConfig, engine: Engine, settings: EpisodeSettings, split: str
) -> ModelPolicy:
    """Return the policy that is scored on a panel; every evaluation of a run draws alike."""
    sampling = _sampling(config, settings, config.evaluation.temperature)
    return ModelPolicy(engine, sampling, seed_of(config.seed, "eval", split))


def _sampling(config: RunConfig, settings: EpisodeSettings, temperature: float) -> SamplingParams:
    return SamplingParams(
        temperature=temperature,
        top_p=config.rollout.top_p,
        top_k=config.rollout.top_k,
        max_tokens=config.rollout.max_tokens_per_turn,
        stop_ids=settings.renderer.stop_ids,
        stop_strings=settings.prompt.stop_strings,
    )
