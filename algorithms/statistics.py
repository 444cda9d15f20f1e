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

from agentrl.algorithms.checks import in_range, one_of


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

    `of_logits` sees logits divided by the rollout's temperature, for some tokens at a time.  It
    must not change them; gradients come from calling it again.
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


FILTERS = ("min-p", "fixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredLogprobs:
    """Log-prob of the sampled token once improbable tokens are removed (the proxy of Lp-Reg).

    `min-p` keeps the tokens with p >= threshold * max p, `fixed` those with p >= threshold; the
    logits of the others become -10,000, so a sampled token that was removed has about that
    log-prob.  Source: CarlanLark/Lp-Reg-dev:verl/workers/actor/dp_actor.py, `apply_min_p`.

    Attributes:
        kind: one of `FILTERS`.
        threshold: kappa.
        current: under the weights being trained; by default the old ones.
    """

    kind: str = "min-p"
    threshold: float = 0.02
    current: bool = False
    layer: int | None = None

    def __post_init__(self) -> None:
        one_of("filter", self.kind, FILTERS)
        in_range("filter_threshold", self.threshold, 0, 1)

    def of_logits(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """Return the log-probs [M]."""
        probs_MV = torch.softmax(logits_MV, -1)
        floor_M1: Tensor | float = self.threshold
        if self.kind == "min-p":
            floor_M1 = self.threshold * probs_MV.amax(-1, keepdim=True)
        kept_MV = logits_MV.masked_fill(probs_MV < floor_M1, -1e4)
        logprobs_MV = torch.log_softmax(kept_MV, -1)
        return logprobs_MV.gather(-1, targets_M.unsqueeze(-1)).squeeze(-1)

    def now(self) -> FilteredLogprobs:
        """Return the same under the weights being trained."""
        return replace(self, current=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopPEntropy:
    """Entropy in nats of the renormalised nucleus, with gradient (SIREN).

    The nucleus holds the most probable tokens whose cumulative probability, their own included, is
    below `top_p`: the token that crosses it is left out, and where the first one does the entropy
    is 0.  Source: Linn3a/siren:verl/workers/actor/dp_actor.py, `efficient_top_p_sampling`.

    Attributes:
        top_p: probability of the nucleus.
        top_k: most tokens in it.
        current: under the weights being trained; by default the old ones.
    """

    top_p: float = 0.8
    top_k: int = 10_000
    current: bool = False
    layer: int | None = None

    def __post_init__(self) -> None:
        in_range("entropy_top_p", self.top_p, 0, 1, open_low=True)
        in_range("entropy_top_k", self.top_k, 1)

    def of_logits(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """Return the entropies [M]; the targets are not read."""
        probs_MV = torch.softmax(logits_MV, -1)
        top_MK = probs_MV.topk(min(self.top_k, logits_MV.shape[-1]), -1).values
        kept_MK = torch.where(top_MK.detach().cumsum(-1) < self.top_p, top_MK, 0.0)
        share_MK = kept_MK / (kept_MK.sum(-1, keepdim=True) + 1e-12)
        return -(share_MK * (share_MK + 1e-12).log()).sum(-1)

    def now(self) -> TopPEntropy:
        """Return the same under the weights being trained."""
        return replace(self, current=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDiscriminator:
    """`E_v[S_v] = sum_v p_v^2 (H + ln p_v)`, the mean entropy discriminator of the distribution.

    S_v = p_v (H + ln p_v) is how fast the entropy H (nats) falls as the logit of v grows.  Source:
    On the Entropy Dynamics in RFT; our reading, since the released Clip_V only reads the result.

    Attributes:
        current: under the weights being trained; by default the old ones.
    """

    current: bool = False
    layer: int | None = None

    def of_logits(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """Return the mean [M]; the sampled ids do not matter."""
        logprobs_MV = torch.log_softmax(logits_MV, -1).clamp(min=-1e4)
        chances_MV = logprobs_MV.exp()
        entropy_M1 = -(chances_MV * logprobs_MV).sum(-1, keepdim=True)
        return (chances_MV**2 * (entropy_M1 + logprobs_MV)).sum(-1)

    def now(self) -> MeanDiscriminator:
        """Return the same under the weights being trained."""
        return replace(self, current=True)
