"""AEPO: advantages weighted by entropy, and a clip that keeps the gradient of rising tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.slots import View

ENTROPIES = {"current": Stat.ENTROPY, "old": Stat.OLD_ENTROPY}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyAwareAdvantage:
    """Late transform: `A (1 + strength z)`, z the standardised entropy of the token.

    z = (H - mean) / std over the valid tokens of the optimiser batch, without gradient; std is
    unbiased, and 1 where it is 0.

    Source: RUC-NLPIR/ARPO:AEPO/verl_aepo_entropy/verl/trainer/ppo/core_algos.py,
    `compute_policy_loss_entropy_balanced_clipping`, which takes mean and std of each micro-batch
    (`stat_scope="micro"`).  The released trainer computes no entropy unless there is an entropy
    bonus, and then skips this part silently; here it is computed whenever this part is on.

    Attributes:
        strength: a; 0.2 in the released code.
        entropy: under the `current` policy (released code; a forward pass more per optimiser
            step), or under the `old` one (none more; the same in the first optimiser step).
    """

    strength: float = 0.2
    entropy: str = "current"

    def __post_init__(self) -> None:
        in_range("advantage_strength", self.strength, 0)
        one_of("advantage_entropy", self.entropy, tuple(ENTROPIES))

    @property
    def requires(self) -> frozenset[Stat]:
        """The entropy."""
        return frozenset({ENTROPIES[self.entropy]})

    @property
    def prepare_requires(self) -> frozenset[Stat]:
        """The entropy; log-probs come from the same forward pass."""
        return self.requires | ({Stat.LOGPROBS} if self.entropy == "current" else set())

    def prepare(self, view: View) -> tuple[Tensor, Tensor]:
        """Return mean and std of the entropy over the whole optimiser batch, float64."""
        entropy_M = view.stat(ENTROPIES[self.entropy])[view.valid_BT].double()
        if len(entropy_M) == 0:
            return entropy_M.new_zeros(()), entropy_M.new_ones(())
        std = entropy_M.std() if len(entropy_M) > 1 else entropy_M.new_zeros(())
        return entropy_M.mean(), torch.where(std == 0, 1.0, std)

    def __call__(self, view: View) -> Tensor:
        """Return the advantages [B, T]."""
        mean, std = view.state(self)
        z_BT = masked.fill(
            (view.stat(ENTROPIES[self.entropy]).double() - mean) / std, view.valid_BT
        )
        return view.advantages_BT * (1 + self.strength * z_BT).to(view.advantages_BT.dtype)


@dataclass(frozen=True, slots=True)
class EntropyBalancedClip:
    """PPO's clip whose value is unchanged and whose gradient stays at the upper bound.

    For A > 0 and r > hi the loss is -A hi sg(1/r) r: value -A hi, gradient -A hi dl instead of 0.
    Elsewhere it is `PPOClip`, with the same dual clip.

    Source: RUC-NLPIR/ARPO, as above.  The paper speaks of high-entropy tokens; the released code
    does it for all, followed here.

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
        ratio_BT, advantages_BT = view.ratio_BT, view.advantages_BT
        over_BT = ratio_BT.detach() > view.bounds.high
        factor_BT = torch.where(over_BT, view.bounds.high / ratio_BT.detach(), 1.0)
        clipped_BT = torch.clamp(ratio_BT * factor_BT, min=view.bounds.low)
        loss_BT = torch.maximum(-advantages_BT * ratio_BT, -advantages_BT * clipped_BT)
        if self.dual_clip is None:
            return loss_BT
        capped_BT = torch.minimum(loss_BT, -advantages_BT * self.dual_clip)
        return torch.where(advantages_BT < 0, capped_BT, loss_BT)
