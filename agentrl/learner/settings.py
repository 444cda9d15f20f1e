"""Settings of the learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentrl.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LearnerSettings:
    """How the model is optimised.

    Attributes:
        learning_rate: peak step size of AdamW.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        weight_decay: decoupled decay of matrices; vectors (norms, biases) are never decayed.
        max_grad_norm: the gradient is scaled down to this L2 norm; 0 leaves it.
        warmup_steps: optimiser steps in which the learning rate rises linearly from 0.
        schedule: what the learning rate does afterwards, until the last optimiser step:
            `constant`, or `linear` or `cosine` down to 0.
        microbatch_tokens: most unique tokens in one forward pass; changes memory and speed, never
            the result beyond rounding.
        updates_per_step: optimiser steps made from one rollout, each on its own share of the tasks.
        gradient_checkpointing: compute activations again in the backward pass to save memory.
        max_bad_updates: stop after this many updates in a row with a non-finite loss or gradient.
    """

    learning_rate: float = 1e-6
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    warmup_steps: int = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    microbatch_tokens: int = 16384
    updates_per_step: int = 1
    gradient_checkpointing: bool = False
    max_bad_updates: int = 3

    def __post_init__(self) -> None:
        checks = [
            (self.learning_rate > 0, "learning_rate", "a number > 0"),
            (0 <= self.beta1 < 1, "beta1", "a number in [0, 1)"),
            (0 <= self.beta2 < 1, "beta2", "a number in [0, 1)"),
            (self.weight_decay >= 0, "weight_decay", "a number >= 0"),
            (self.max_grad_norm >= 0, "max_grad_norm", "a number >= 0 (0 never clips)"),
            (self.warmup_steps >= 0, "warmup_steps", "an integer >= 0"),
            (
                self.schedule in ("constant", "linear", "cosine"),
                "schedule",
                "constant, linear or cosine",
            ),
            (self.microbatch_tokens >= 1, "microbatch_tokens", "an integer >= 1"),
            (self.updates_per_step >= 1, "updates_per_step", "an integer >= 1"),
            (self.max_bad_updates >= 1, "max_bad_updates", "an integer >= 1"),
        ]
        for ok, name, accepted in checks:
            if not ok:
                value = getattr(self, name)
                raise ConfigError(f"`learner.{name}` is {value!r}; it must be {accepted}.")
