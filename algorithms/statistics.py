"""Which statistics of the model an algorithm can ask for.

`Stat` names the common ones.  A `LogitStatistic` is any further number per token that can be read
off the logits of the whole next-token distribution, for example an entropy of its nucleus, or the
log-prob under a sharpened copy of it.  It is a value with a function of logits; the learner applies
that function chunk by chunk, so that no tokens x vocabulary matrix is ever held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from agentrl.algorithms.checks import in_range


class Stat(StrEnum):
    """Per-token statistics [B, T] that a slot can ask the learner for."""

    LOGPROBS = "logprobs"
    """log pi(token) under the current weights, with gradient."""
    OLD_LOGPROBS = "old_logprobs"
    """The same under the weights at the start of the update (proximal policy); no gradient."""
    ROLLOUT_LOGPROBS = "rollout_logprobs"
    """As reported by the engine that sampled the tokens (behaviour policy); no gradient."""
    REF_LOGPROBS = "ref_logprobs"
    """Under the frozen reference policy; no gradient."""
    ENTROPY = "entropy"
    """Entropy of the full softmax under the current weights, in nats; no gradient."""
    ENTROPY_GRAD = "entropy_grad"
    """The same with gradient."""
    OLD_ENTROPY = "old_entropy"
    """Entropy under the weights at the start of the update; no gradient."""
    VALUES = "values"
    """Value head output at the position that predicts the token; with gradient."""
    OLD_VALUES = "old_values"
    """The same under the weights at the start of the update; no gradient."""

    @property
    def current(self) -> bool:
        """True if it depends on the weights being trained, so every micro-batch computes it anew.

        The others are computed once per update, before advantages are estimated.
        """
        return self in _CURRENT


_CURRENT = frozenset({Stat.LOGPROBS, Stat.ENTROPY, Stat.ENTROPY_GRAD, Stat.VALUES})


@runtime_checkable
class LogitStatistic(Protocol):
    """A statistic of the next-token distribution; a frozen, hashable value.

    `log_softmax` and other functions of the rollout's temperature see logits divided by it.
    """

    @property
    def current(self) -> bool:
        """True under the weights being trained, with gradient; False under the old ones."""
        ...

    @property
    def layer(self) -> int | None:
        """Number of the layer, from 0, whose output is read; None for the final one."""
        ...

    def of_logits(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """Return one number for each of M tokens, from logits [M, V] and sampled ids [M]."""
        ...

    def now(self) -> LogitStatistic:
        """Return the same statistic under the weights being trained."""
        ...


Statistic = Stat | LogitStatistic


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperedLogprobs:
    """Log-prob of the sampled token if logits were divided by a further temperature.

    Attributes:
        temperature: above 1 flattens.
        current: under the weights being trained; by default the old ones.
    """

    temperature: float = 1.0
    current: bool = False
    layer: int | None = None

    def __post_init__(self) -> None:
        in_range("temperature", self.temperature, 0, open_low=True)

    def of_logits(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """Return the log-probs [M]."""
        logprobs_MV = torch.log_softmax(logits_MV / self.temperature, -1)
        return logprobs_MV.gather(-1, targets_M.unsqueeze(-1)).squeeze(-1)

    def now(self) -> TemperedLogprobs:
        """Return the same under the weights being trained."""
        return replace(self, current=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLogprobs:
    """Log-prob of the sampled token if an inner layer's output went straight to the output matrix.

    No final norm is applied to it.  Source: BuPO (Trae1ounG/BuPO).

    Attributes:
        layer: number of the decoder layer, from 0.
        current: under the weights being trained; by default the old ones.
    """

    layer: int
    current: bool = False

    def __post_init__(self) -> None:
        in_range("layer", self.layer, 0)

    def of_logits(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """Return the log-probs [M]."""
        logprobs_MV = torch.log_softmax(logits_MV, -1)
        return logprobs_MV.gather(-1, targets_M.unsqueeze(-1)).squeeze(-1)

    def now(self) -> LayerLogprobs:
        """Return the same under the weights being trained."""
        return replace(self, current=True)
