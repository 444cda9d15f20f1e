"""Every setting of a run, with its unit, range and default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentrl.engines.vllm.settings import VLLMSettings
from agentrl.errors import ConfigError, unknown_name
from agentrl.learner.settings import LearnerSettings

AUTO = "auto"
CORRECTIONS = (
    "none",
    "token-tis",
    "sequence-tis",
    "geometric-tis",
    "icepop",
    "sequence-mis",
    "geometric-mis",
    "rejection",
)
"""Names of `agentrl.algorithms.behaviour.presets`, said again: settings are read without torch."""


def require(ok: bool, name: str, value: object, accepted: str) -> None:
    """Raise `ConfigError` naming the setting unless `ok`."""
    if not ok:
        raise ConfigError(f"`{name}` is {value!r}; it must be {accepted}.")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Adapters to train in place of the model's own weights (2106.09685); they have no dropout.

    Attributes:
        rank: width of the adapters.
        alpha: their output is scaled by `alpha / rank`.
        targets: names of the linear layers to adapt, for example `q_proj`; an empty list adapts
            all of the decoder's.
    """

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.rank >= 1, "model.lora.rank", self.rank, "an integer >= 1")
        require(self.alpha > 0, "model.lora.alpha", self.alpha, "a number > 0")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model is trained.

    Attributes:
        path: directory or hub id of a Hugging Face causal LM; None builds a small one from
            scratch, with a tokenizer trained on the environment's own texts.
        dtype: parameter type.
        device: `auto` takes a GPU where there is one.
        hidden_size: width of the model built from scratch.
        layers: decoder layers of the model built from scratch.
        heads: query heads of the model built from scratch; twice its key/value heads.
        vocab_size: most tokenizer entries of the model built from scratch; with 262, every byte is
            one and there are no others.
        max_context: longest sequence in tokens; 0 takes the model's own.
        lora: train adapters only (extra `lora`); null trains all weights.
    """

    path: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"
    hidden_size: int = 128
    layers: int = 4
    heads: int = 4
    vocab_size: int = 1000
    max_context: int = 0
    lora: LoraConfig | None = None

    def __post_init__(self) -> None:
        even = self.heads >= 2 and self.heads % 2 == 0
        require(even, "model.heads", self.heads, "an even integer >= 2")
        fits = self.hidden_size > 0 and self.hidden_size % self.heads == 0
        require(fits, "model.hidden_size", self.hidden_size, "a multiple of `model.heads`")
        require(self.layers >= 1, "model.layers", self.layers, "an integer >= 1")
        require(self.vocab_size >= 262, "model.vocab_size", self.vocab_size, "an integer >= 262")
        require(self.max_context >= 0, "model.max_context", self.max_context, "an integer >= 0")
        if self.lora is not None and self.path is None:
            raise ConfigError(
                "`model.lora` is set, but `model.path` is null: adapters need a model that knows "
                "something. Name one in `model.path`, or leave `model.lora` out."
            )


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How completions are sampled.

    Attributes:
        kind: `embedded` runs inside the learner's process and shares its weights; `vllm` (extra
            `vllm`) has a copy of them, which is renewed after every update.
        max_batch_tokens: most tokens in one forward pass.
        cache_gib: memory for cached keys and values, in GiB; 0 leaves it to vLLM
            (`engine.vllm.gpu_memory`).
        sleep: the engine gives its memory back while the learner computes, so that both can use one
            GPU.
        correction: weights that correct for the difference between the engine's policy and the
            learner's: `auto` (none where the engine shares the learner's weights, else
            `token-tis`, unless the algorithm has its own or takes none), `none`, `token-tis`,
            `sequence-tis`, `geometric-tis`, `icepop`, `sequence-mis`, `geometric-mis` or
            `rejection`.
        mismatch_alarm: KL divergence of engine and learner (k3, nats per token) above which a step
            raises an alarm; 0 raises none, null takes 1e-6 for float32 and 1e-2 for bfloat16.
        vllm: how vLLM is run.
    """

    kind: Literal["embedded", "vllm"] = "embedded"
    max_batch_tokens: int = 2048
    cache_gib: float = 2.0
    sleep: bool = False
    correction: str = AUTO
    mismatch_alarm: float | None = None
    vllm: VLLMSettings = field(default_factory=VLLMSettings)

    def __post_init__(self) -> None:
        value = self.max_batch_tokens
        require(value >= 16, "engine.max_batch_tokens", value, "an integer >= 16")
        least = "a number >= 0" if self.kind == "vllm" else "a number > 0"
        ok = self.cache_gib > 0 or (self.kind == "vllm" and self.cache_gib == 0)
        require(ok, "engine.cache_gib", self.cache_gib, least)
        if self.correction not in (AUTO, *CORRECTIONS):
            raise unknown_name("correction", self.correction, (AUTO, *CORRECTIONS))
        limit = self.mismatch_alarm
        ok = limit is None or limit >= 0
        require(ok, "engine.mismatch_alarm", limit, "a number of nats >= 0, or null")

    @property
    def shares_weights(self) -> bool:
        """Whether the engine computes with the learner's weights, in the same arithmetic."""
        return self.kind == "embedded"


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    """What is to be solved, and how its processes are watched.

    Attributes:
        id: registered environment, for example `agentrl/TextWorld-v0`.
        train: options of the training panel, given to the environment's `panel`.
        heldout: options of the held-out panel.
        prompt: name of one of the environment's prompts, for example `step`, `chat` or `plain`;
            None takes its default.
        workers: episodes played at a time, each in a process of its own; fewer where their memory
            does not suffice.
        memory_gib: memory of all environment processes together in GiB; 0 takes 80 % of what is
            available at the start.
        call_timeout: seconds one reset or step may take; 0 leaves it to the environment (30 for
            most, 120 for ScienceWorld).
        episodes_per_worker: a process is replaced after this many episodes, unless the environment
            itself says when.
    """

    id: str = "agentrl/TextWorld-v0"
    train: Mapping[str, Any] = field(default_factory=dict)
    heldout: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    workers: int = 32
    memory_gib: float = 0.0
    call_timeout: float = 0.0
    episodes_per_worker: int = 200

    def __post_init__(self) -> None:
        require(self.workers >= 1, "environment.workers", self.workers, "an integer >= 1")
        ok = self.memory_gib >= 0
        require(ok, "environment.memory_gib", self.memory_gib, "a number of GiB >= 0")
        ok = self.call_timeout >= 0
        require(ok, "environment.call_timeout", self.call_timeout, "a number of seconds >= 0")
        value = self.episodes_per_worker
        require(value >= 1, "environment.episodes_per_worker", value, "an integer >= 1")


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How episodes are sampled.

    Attributes:
        tasks_per_step: tasks (groups) sampled for one training step.
        group_size: episodes per task (G); 0 takes the number of the algorithm's own rollout
            strategy (16 for `arpo` and `aepo`), and 8 where it has none.
        max_turns: most actions in an episode.
        max_tokens_per_turn: most tokens sampled for one action.
        temperature: sampling temperature.
        top_p: nucleus; 1 keeps every token (recommended for training).
        top_k: 0 keeps every token (recommended for training).
        context: `full` (one growing sequence), `window(k)` (each turn a sequence of its own
            with the last k turns), or `auto`: `full`, and `window(0)` for prompts that write one
            message per turn with history of their own, such as `step`.
        invalid_action_penalty: subtracted from the reward of a turn whose text does not have the
            form that the prompt asks for.
        max_resamples: extra episodes a group may draw to replace failed ones.
        extra_tasks: groups played beyond `tasks_per_step`; as soon as `tasks_per_step` are
            complete, the others are not waited for.
        extra_episodes: episodes of a group played beyond `group_size`; the first `group_size` to
            end are kept, the others cancelled.  For independent episodes only.
        unfinished: what becomes of groups that are not waited for: `cut` records and drops them,
            `continue` goes on with them in the next step, under the policy of then.
        episode_timeout: seconds after which an episode is given up; 0 sets no limit.
        group_tokens: once a group has sampled so many tokens, no episode or branch of it is
            started any more; 0 sets no limit.
        max_rounds: how often tasks are drawn in one step until `tasks_per_step` groups have
            contrast, for algorithms with dynamic sampling (`dapo`); 1 trains on what there is.
        deterministic: all live episodes take their turns together, so that batches, and with
            them every rounding, repeat from run to run.
    """

    tasks_per_step: int = 8
    group_size: int = 0
    max_turns: int = 30
    max_tokens_per_turn: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    context: str = "auto"
    invalid_action_penalty: float = 0.0
    max_resamples: int = 4
    extra_tasks: int = 0
    extra_episodes: int = 0
    unfinished: Literal["cut", "continue"] = "cut"
    episode_timeout: float = 0.0
    group_tokens: int = 0
    max_rounds: int = 10
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("tasks_per_step", "max_turns", "max_tokens_per_turn"):
            value = getattr(self, name)
            require(value >= 1, f"rollout.{name}", value, "an integer >= 1")
        for name in ("group_size", "extra_tasks", "extra_episodes", "group_tokens"):
            value = getattr(self, name)
            require(value >= 0, f"rollout.{name}", value, "an integer >= 0")
        on_clock = self.deterministic and self.unfinished == "continue"
        accepted = "cut with `rollout.deterministic`, since what goes on depends on the clock"
        require(not on_clock, "rollout.unfinished", self.unfinished, accepted)
        seconds = self.episode_timeout
        require(seconds >= 0, "rollout.episode_timeout", seconds, "a number of seconds >= 0")
        require(self.temperature > 0, "rollout.temperature", self.temperature, "a number > 0")
        require(0 < self.top_p <= 1, "rollout.top_p", self.top_p, "a number in (0, 1]")
        require(self.top_k >= 0, "rollout.top_k", self.top_k, "an integer >= 0")
        value = self.max_rounds
        require(value >= 1, "rollout.max_rounds", value, "an integer >= 1")
        value = self.max_resamples
        require(value >= 0, "rollout.max_resamples", value, "an integer >= 0")
        penalty = self.invalid_action_penalty
        require(penalty >= 0, "rollout.invalid_action_penalty", penalty, "a number >= 0")


@dataclass(frozen=True, kw_only=True)
class AlgorithmConfig:
    """Which algorithm; its name alone gives the published setting, as far as there is one.

    Attributes:
        name: one of `agentrl algorithms`.
        options: overrides of the algorithm's own settings.
    """

    name: str = "grpo"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WarmupConfig:
    """Supervised warm-up on expert episodes, before reinforcement learning.

    Attributes:
        episodes: expert episodes to imitate; 0 skips the warm-up.
        steps: optimiser steps.
        episodes_per_step: episodes in one step.
        learning_rate: of the warm-up's own optimiser.
        noise: probability that an action is drawn from the admissible ones instead of the
            expert's.
        imitate_noise: imitate those random actions too: the policy then starts as an imperfect
            player that still explores.  By default they are context, never imitated, and teach
            how to come back to the expert's way.
    """

    episodes: int = 0
    steps: int = 100
    episodes_per_step: int = 16
    learning_rate: float = 1e-3
    noise: float = 0.2
    imitate_noise: bool = False

    def __post_init__(self) -> None:
        require(self.episodes >= 0, "warmup.episodes", self.episodes, "an integer >= 0")
        require(self.steps >= 0, "warmup.steps", self.steps, "an integer >= 0")
        value = self.episodes_per_step
        require(value >= 1, "warmup.episodes_per_step", value, "an integer >= 1")
        require(self.learning_rate > 0, "warmup.learning_rate", self.learning_rate, "> 0")
        require(0 <= self.noise <= 1, "warmup.noise", self.noise, "a number in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the policy is scored on the training and the held-out panel.

    Attributes:
        every: training steps between evaluations; 0 evaluates only before and after.
        tasks_during_training: tasks of each panel, from its start, that are scored in between;
            0 scores all.  The first and the last evaluation always score whole panels.
        episodes_per_task: episodes per task.
        temperature: sampling temperature; 0 is greedy.
    """

    every: int = 10
    tasks_during_training: int = 64
    episodes_per_task: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        require(self.every >= 0, "evaluation.every", self.every, "an integer >= 0")
        value = self.tasks_during_training
        require(value >= 0, "evaluation.tasks_during_training", value, "an integer >= 0")
        value = self.episodes_per_task
        require(value >= 1, "evaluation.episodes_per_task", value, "an integer >= 1")
        require(self.temperature >= 0, "evaluation.temperature", self.temperature, "a number >= 0")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """What is kept on disk.

    Attributes:
        every: training steps between checkpoints; 0 saves only at the end.
        keep: how many of the newest checkpoints are kept; 0 keeps all.
        rollouts_every: training steps between saved rollouts; 0 saves none, 1 all.
    """

    every: int = 10
    keep: int = 2
    rollouts_every: int = 1

    def __post_init__(self) -> None:
        for name in ("every", "keep", "rollouts_every"):
            value = getattr(self, name)
            require(value >= 0, f"checkpoint.{name}", value, "an integer >= 0")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run.

    Attributes:
        run_dir: where everything goes.
        seed: of tasks, sampling, initial weights.
        steps: reinforcement-learning steps.
        threads: torch threads; 0 leaves torch's choice.
        tensorboard: write TensorBoard event files.
        wandb: log to Weights & Biases (extra `wandb`).
    """

    run_dir: str = "runs/run"
    seed: int = 0
    steps: int = 100
    threads: int = 0
    tensorboard: bool = True
    wandb: bool = False
    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    learner: LearnerSettings = field(default_factory=LearnerSettings)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)

    def __post_init__(self) -> None:
        require(self.steps >= 0, "steps", self.steps, "an integer >= 0")
        require(self.threads >= 0, "threads", self.threads, "an integer >= 0")
        require(bool(self.run_dir), "run_dir", self.run_dir, "a directory name")
