"""Losses whose trust region is not a clip of the token ratio: DPPO, DRO, VESPO.

A advantage, l log-prob, r ratio, p and q the sampled token's probability now and before, sg
stop-gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.ratios.kinds import LOG_RATIO_LIMIT, log_ratio
from agentrl.algorithms.slots import View
from agentrl.algorithms.statistics import Stat, Statistic

_POLICIES = frozenset({Stat.LOGPROBS, Stat.OLD_LOGPROBS})
_TINY = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergencePG:
    """`-A sg(min(r, cap)) l` on tokens inside the trust region, 0 outside (DPPO).

    The region looks at the sampled token against all others together.  tv: p - q <= high where
    A > 0, p - q >= -low elsewhere.  kl: q ln(q / p) + (1 - q) ln((1 - q) / (1 - p)) within the
    bound, or the move leads back to q.

    Source: DPPO (arXiv 2602.04879); verl-project/verl:verl/trainer/ppo/core_algos.py,
    `compute_policy_loss_dppo_tv` and `_kl`.

    Attributes:
        divergence: `tv` or `kl`.
        low: bound for tokens that are pushed down.
        high: bound for tokens that are pushed up.
        cap: of the ratio.
    """

    requires: ClassVar[frozenset[Statistic]] = _POLICIES
    needs_ratio_gradient: ClassVar[bool] = False
    dual_clip: ClassVar[float | None] = None
    divergence: str = "tv"
    low: float = 0.15
    high: float = 0.15
    cap: float = 20.0

    def __post_init__(self) -> None:
        one_of("divergence", self.divergence, ("tv", "kl"))
        in_range("bound_low", self.low, 0)
        in_range("bound_high", self.high, 0)
        in_range("ratio_cap", self.cap, 0, open_low=True)

    def inside(self, view: View) -> Tensor:
        """Return bool [B, T]: tokens inside the trust region."""
        logprobs_BT, old_BT = view.stat(Stat.LOGPROBS).detach(), view.stat(Stat.OLD_LOGPROBS)
        now_BT, was_BT = logprobs_BT.exp(), old_BT.exp()
        if self.divergence == "tv":
            up_BT, down_BT = now_BT - was_BT <= self.high, now_BT - was_BT >= -self.low
        else:
            rest_BT = torch.log((1 - was_BT + _TINY) / (1 - now_BT + _TINY))
            gap_BT = was_BT * (old_BT - logprobs_BT) + (1 - was_BT) * rest_BT
            up_BT = (gap_BT <= self.high) | (now_BT <= was_BT)
            down_BT = (gap_BT <= self.low) | (now_BT >= was_BT)
        return torch.where(view.advantages_BT > 0, up_BT, down_BT)

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        weight_BT = view.ratio_BT.detach().clamp(max=self.cap)
        loss_BT = -view.advantages_BT * weight_BT * view.stat(Stat.LOGPROBS)
        return masked.fill(loss_BT, self.inside(view))


@dataclass(frozen=True, slots=True)
class QuadraticPG:
    """`-A l + beta / 2 (l - l_old)^2`: no ratio, no clip, a parabola around the old policy.

    Source: DRO (arXiv 2405.19107); verl-project/verl:verl/trainer/ppo/core_algos.py,
    `compute_policy_loss_dro`.

    Attributes:
        beta: strength of the pull, in units of advantage per nat.
    """

    requires: ClassVar[frozenset[Statistic]] = _POLICIES
    needs_ratio_gradient: ClassVar[bool] = False
    dual_clip: ClassVar[float | None] = None
    beta: float

    def __post_init__(self) -> None:
        in_range("beta", self.beta, 0)

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        pull_BT = log_ratio(view.batch) ** 2 * (self.beta / 2)
        return pull_BT - view.advantages_BT * view.stat(Stat.LOGPROBS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceGammaPG:
    """`-sg(phi(w)) A l`, phi(w) = exp(rate + shape ln w - rate w) of the row's ratio w (VESPO).

    w = exp(sum of the row's log-ratios), inside [1e-8, e^20]; phi(1) = 1, so on-policy this is
    REINFORCE.  phi is highest at w = shape / rate, where the gradient is largest.

    Source: VESPO; huggingface/trl:trl/trainer/grpo_trainer.py (`loss_type="vespo"`).  TRL also
    multiplies the engine's correction into w; here it is the behaviour slot.

    Attributes:
        shape_positive: k where A >= 0.
        rate_positive: lambda where A >= 0.
        shape_negative: k where A < 0.
        rate_negative: lambda where A < 0.
    """

    requires: ClassVar[frozenset[Statistic]] = _POLICIES
    needs_ratio_gradient: ClassVar[bool] = False
    dual_clip: ClassVar[float | None] = None
    shape_positive: float = 2.0
    rate_positive: float = 3.0
    shape_negative: float = 3.0
    rate_negative: float = 2.0

    def __post_init__(self) -> None:
        for name in ("shape_positive", "shape_negative"):
            in_range(name, getattr(self, name), 0)
        for name in ("rate_positive", "rate_negative"):
            in_range(name, getattr(self, name), 0, open_low=True)

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        ahead_BT = view.advantages_BT >= 0
        log_B1 = masked.row_sum(log_ratio(view.batch).detach(), view.valid_BT).unsqueeze(-1)
        log_B1 = log_B1.clamp(math.log(_TINY), LOG_RATIO_LIMIT)
        like = log_B1.new_tensor
        shape_BT = torch.where(ahead_BT, like(self.shape_positive), like(self.shape_negative))
        rate_BT = torch.where(ahead_BT, like(self.rate_positive), like(self.rate_negative))
        weight_BT = torch.exp(rate_BT + shape_BT * log_B1 - rate_BT * log_B1.exp())
        return -weight_BT * view.advantages_BT * view.stat(Stat.LOGPROBS)
