"""Advantage and clip range that follow the entropy of each token: the slots of HAPO.

h is the scaled log entropy of a token, in [-1, 1] over the optimiser batch and above 0 where the
entropy is above its pivot quantile; see `agentrl.algorithms.ratios.log_entropy`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import group_sum
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.log_entropy import (
    SIGNS,
    LogEntropyStatistics,
    log_entropy_statistics,
    scaled_log_entropy,
)
from agentrl.algorithms.slots import Bounds, View

_ENTROPY: frozenset[Stat] = frozenset({Stat.ENTROPY})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGroupRelative:
    """`(R - mu) / (sigma + epsilon)`, mu and sigma over all valid tokens of the group.

    Each token carries its episode's return, so long episodes weigh more; sigma divides by n.
    A group in which some |A| is at least `limit` falls back to `GroupRelative`.

    Source: starriver030515/HAPO:verl/trainer/ppo/core_algos.py, `compute_hapo_outcome_advantage`,
    which also looks at padding for the limit.

    Attributes:
        epsilon: added to sigma.
        limit: of |A|.
        scale: `group`, or `none`: R - mu.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    epsilon: float = 1e-6
    limit: float = 5.0
    scale: str = "group"

    def __post_init__(self) -> None:
        in_range("epsilon", self.epsilon, 0)
        in_range("limit", self.limit, 0, open_low=True)
        one_of("scale", self.scale, ("group", "none"))

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        plain = GroupRelative(scale=self.scale, epsilon=self.epsilon)(batch)
        tokens_B = batch.valid_BT.sum(-1).double()
        returns_B = torch.where(tokens_B > 0, batch.returns_B.double(), 0.0)
        group_B = group_sum(batch.groups_B, tokens_B).clamp(min=1)
        centred_B = returns_B - group_sum(batch.groups_B, tokens_B * returns_B) / group_B
        squares_B = group_sum(batch.groups_B, tokens_B * centred_B**2)
        if self.scale == "group":
            centred_B = centred_B / ((squares_B / group_B).sqrt() + self.epsilon)
        large_B = (centred_B.abs() >= self.limit) & (tokens_B > 0)
        falls_back_B1 = (group_sum(batch.groups_B, large_B.double()) > 0).unsqueeze(-1)
        own_B1 = centred_B.to(batch.returns_B.dtype).unsqueeze(-1)
        advantages_BT = torch.where(falls_back_B1, plain.advantages, own_B1)
        return replace(batch, advantages_BT=masked.fill(advantages_BT, batch.valid_BT))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyScale:
    """How h is computed; the statistics are those of the optimiser batch.

    Attributes:
        pivot: quantile of ln H at which h is 0.
        sign: `intended`, or `official`: the released code's slip, where h is never below 0.
    """

    pivot: float = 0.8
    sign: str = "intended"

    def __post_init__(self) -> None:
        in_range("entropy_pivot", self.pivot, 0, 1)
        one_of("hapo_sign", self.sign, SIGNS)

    def statistics(self, view: View) -> LogEntropyStatistics:
        """Return the statistics of a view of the whole optimiser batch."""
        return log_entropy_statistics(view.stat(Stat.ENTROPY), view.valid_BT, self.pivot)

    def of(self, view: View, slot: object) -> Tensor:
        """Return h [B, T], with the statistics that `slot` prepared."""
        return scaled_log_entropy(view.stat(Stat.ENTROPY), view.state(slot), self.sign)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyBounds:
    """Bounds rule: wider above where entropy is high, wider below where it is low.

    clip_low <- clip_low (1 - alpha h) where h <= 0, clip_high <- clip_high (1 + alpha h) where
    h > 0.

    Source: starriver030515/HAPO:verl/trainer/ppo/core_algos.py, `ada_clip`.

    Attributes:
        base: clip_low and clip_high, both set.
        alpha: strength; 0 is constant.
        scale: of h.
    """

    requires: ClassVar[frozenset[Stat]] = _ENTROPY
    prepare_requires: ClassVar[frozenset[Stat]] = _ENTROPY
    base: ConstantBounds = field(default_factory=ConstantBounds)
    alpha: float = 1.0
    scale: EntropyScale = field(default_factory=EntropyScale)

    def __post_init__(self) -> None:
        in_range("clip_alpha", self.alpha, 0)

    def prepare(self, view: View) -> LogEntropyStatistics:
        """Return the statistics of h."""
        return self.scale.statistics(view)

    def __call__(self, view: View) -> Bounds:
        """Return bounds [B, T]."""
        h_BT, (low, high) = self.scale.of(view, self), self.base(view)
        low_BT = 1 - (1 - low) * (1 - self.alpha * h_BT.clamp(max=0))
        return Bounds(low_BT, 1 + (high - 1) * (1 + self.alpha * h_BT.clamp(min=0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyRedistribution:
    """Late transform `A <- A (1 + beta h)`, where the ratio says that it matters.

    Neutral is a ratio inside half the clip range.  Tokens of high entropy (h > 0) are strengthened
    outside it, tokens of low entropy are weakened inside it.

    Source: starriver030515/HAPO:verl/trainer/ppo/core_algos.py, `ada_advantage`.

    Attributes:
        beta: strength; 0 changes nothing.
        scale: of h.
    """

    requires: ClassVar[frozenset[Stat]] = _ENTROPY
    prepare_requires: ClassVar[frozenset[Stat]] = _ENTROPY
    beta: float = 1.0
    scale: EntropyScale = field(default_factory=EntropyScale)

    def __post_init__(self) -> None:
        in_range("advantage_beta", self.beta, 0)

    def prepare(self, view: View) -> LogEntropyStatistics:
        """Return the statistics of h."""
        return self.scale.statistics(view)

    def __call__(self, view: View) -> Tensor:
        """Return the advantages [B, T]."""
        h_BT, ratio_BT = self.scale.of(view, self), view.ratio_BT.detach()
        low, high = (1 + view.bounds.low) / 2, (1 + view.bounds.high) / 2
        neutral_BT = (ratio_BT > low) & (ratio_BT < high)
        changed_BT = view.advantages_BT * (1 + self.beta * h_BT)
        return torch.where((h_BT > 0) ^ neutral_BT, changed_BT, view.advantages_BT)
