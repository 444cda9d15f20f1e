"""Per-token losses before aggregation, [B, T], to be minimised.

A advantage, l log-prob, r ratio, lo and hi its bounds, sg stop-gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.slots import View


def clamp_ratio(view: View) -> Tensor:
    """Return clip(r, lo, hi) [B, T]."""
    return torch.clamp(view.ratio_BT, min=view.bounds.low, max=view.bounds.high)


@dataclass(frozen=True, slots=True)
class PPOClip:
    """`max(-A r, -A clip(r, lo, hi))`, optionally capped at `-A c` where A < 0 (dual clip).

    The gradient is -A r dl unless A > 0 and r > hi, or A < 0 and r < lo, or A < 0 and r > c.

    Source: PPO, eq. 7 (arXiv 1707.06347); dual clip: Ye et al. (arXiv 1912.09729), eq. 5.
    verl-project/verl always applies the dual clip (c = 3); papers of the GRPO family have none,
    so it is off unless set.

    Attributes:
        dual_clip: c, larger than 1; None switches it off.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_ratio_gradient: ClassVar[bool] = True
    dual_clip: float | None = None

    def __post_init__(self) -> None:
        if self.dual_clip is not None:
            in_range("dual_clip", self.dual_clip, 1, open_low=True)

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        advantages_BT = view.advantages_BT
        loss_BT = torch.maximum(-advantages_BT * view.ratio_BT, -advantages_BT * clamp_ratio(view))
        if self.dual_clip is None:
            return loss_BT
        capped_BT = torch.minimum(loss_BT, -advantages_BT * self.dual_clip)
        return torch.where(advantages_BT < 0, capped_BT, loss_BT)


@dataclass(frozen=True, slots=True)
class WeightPG:
    """`-sg(clip(r, lo, hi)) A l`: every token keeps a gradient, its size is bounded.

    With `UnitRatio` this is REINFORCE; with `TokenRatio` it is CISPO (arXiv 2506.13585, eq. 4).
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.LOGPROBS})
    needs_ratio_gradient: ClassVar[bool] = False
    dual_clip: ClassVar[float | None] = None

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        return -clamp_ratio(view).detach() * view.advantages_BT * view.stat(Stat.LOGPROBS)


@dataclass(frozen=True, slots=True)
class RatioPG:
    """`-A r`, no clipping anywhere."""

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_ratio_gradient: ClassVar[bool] = True
    dual_clip: ClassVar[float | None] = None

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        return -view.advantages_BT * view.ratio_BT


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftGate:
    """`-A sigmoid(tau (r - 1)) 4 / tau`: a smooth gate instead of a clip (SAPO).

    The slope at r = 1 is 1, so on-policy the gradient is the plain policy gradient.

    Source: SAPO; verl-project/verl:verl/trainer/ppo/core_algos.py, `compute_policy_loss_sapo`.

    Attributes:
        tau_positive: sharpness where A > 0.
        tau_negative: sharpness elsewhere; larger silences harmful moves sooner.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_ratio_gradient: ClassVar[bool] = True
    dual_clip: ClassVar[float | None] = None
    tau_positive: float = 1.0
    tau_negative: float = 1.05

    def __post_init__(self) -> None:
        in_range("tau_positive", self.tau_positive, 0, open_low=True)
        in_range("tau_negative", self.tau_negative, 0, open_low=True)

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        ahead_BT = view.advantages_BT > 0
        positive = view.ratio_BT.new_tensor(self.tau_positive)
        tau_BT = torch.where(ahead_BT, positive, positive.new_tensor(self.tau_negative))
        gate_BT = torch.sigmoid(tau_BT * (view.ratio_BT - 1)) * 4 / tau_BT
        return -view.advantages_BT * gate_BT
