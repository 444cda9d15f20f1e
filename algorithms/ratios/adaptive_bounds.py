"""Bounds of the ratio that depend on advantages, groups or the balance of the batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.episodes import group_statistics
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.slots import Bounds, View
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True)
class LogBounds:
    """[e^-clip_low, e^clip_high]: a range of the log-ratio (GMPO).

    Attributes:
        clip_low: how far the log-ratio may fall, in nats.
        clip_high: how far it may rise.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset()
    clip_low: float = 0.4
    clip_high: float = 0.4

    def __post_init__(self) -> None:
        in_range("clip_low", self.clip_low, 0)
        in_range("clip_high", self.clip_high, 0)

    def __call__(self, view: View) -> Bounds:
        """Return two scalars."""
        like = view.ratio_BT.new_tensor
        return Bounds(like(math.exp(-self.clip_low)), like(math.exp(self.clip_high)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsBySign:
    """One range where A > 0, another elsewhere (DISPO; TOPR with [1, 1] and [0, 1]).

    Attributes:
        positive: where A > 0.
        negative: elsewhere.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset()
    positive: ConstantBounds
    negative: ConstantBounds

    def __call__(self, view: View) -> Bounds:
        """Return two tensors [B, T]."""
        ahead_BT = view.advantages_BT > 0
        pairs = zip(self.positive(view), self.negative(view), strict=True)
        low_BT, high_BT = (torch.where(ahead_BT, plus, minus) for plus, minus in pairs)
        return Bounds(low_BT, high_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedBounds:
    """Widens the range until positive tokens outweigh negative ones by `target` (BAPO).

    q = sum_{A >= 0} A r / sum_{A < 0} |A| r over the optimiser batch; first `low` rises, then
    `high`, step by step, until q reaches the target or both are at their ends.  Without negative
    tokens nothing moves.

    count_clipped=True counts clipped tokens at their bound, as WooooDyy/BAPO:recipe/bapo does;
    then raising `low` can only lower q, so that search runs to its end or not at all.  False, the
    evident intention, leaves out tokens that the clip silences, and q rises with either bound.

    Attributes:
        target: of q.
        low: where the lower bound starts.
        low_end: where it stops.
        high: where the upper bound starts.
        high_end: where it stops.
        low_step: how much the lower bound rises at a time.
        high_step: how much the upper bound rises at a time.
        count_clipped: see above.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset()
    prepare_requires: ClassVar[frozenset[Statistic]] = frozenset({Stat.LOGPROBS})
    target: float = 1.0
    low: float = 0.6
    low_end: float = 0.9
    high: float = 1.2
    high_end: float = 3.0
    low_step: float = 0.05
    high_step: float = 0.05
    count_clipped: bool = False

    def __post_init__(self) -> None:
        in_range("balance.target", self.target, 0)
        in_range("balance.low", self.low, 0, self.low_end)
        in_range("balance.low_end", self.low_end, 0, 1)
        in_range("balance.high", self.high, 1, self.high_end)
        in_range("balance.low_step", self.low_step, 0, open_low=True)
        in_range("balance.high_step", self.high_step, 0, open_low=True)

    def balance(self, view: View, low: float, high: float) -> float:
        """Return q for these bounds; infinity without negative tokens."""
        advantages_BT, ratio_BT = view.advantages_BT.double(), view.ratio_BT.detach().double()
        ahead_BT, behind_BT = view.valid_BT & (advantages_BT >= 0), advantages_BT < 0
        behind_BT = behind_BT & view.valid_BT
        if not bool(behind_BT.any()):
            return math.inf
        gain_BT, cost_BT = ratio_BT.clamp(max=high), ratio_BT.clamp(min=low)
        if not self.count_clipped:
            ahead_BT, behind_BT = ahead_BT & (ratio_BT <= high), behind_BT & (ratio_BT >= low)
        gain = masked.total(advantages_BT * gain_BT, ahead_BT)
        return float(gain / (masked.total(-advantages_BT * cost_BT, behind_BT) + 1e-8))

    def prepare(self, view: View) -> tuple[float, float]:
        """Return the two bounds for the optimiser batch."""
        low, high = self.low, self.high
        q = self.balance(view, low, high)
        while q < self.target and low < self.low_end:
            low = min(low + self.low_step, self.low_end)
            q = self.balance(view, low, high)
        while q < self.target and high < self.high_end:
            high = min(high + self.high_step, self.high_end)
            q = self.balance(view, low, high)
        return low, high

    def __call__(self, view: View) -> Bounds:
        """Return two scalars."""
        low, high = view.state(self)
        return Bounds(view.ratio_BT.new_tensor(low), view.ratio_BT.new_tensor(high))


NOTE = "outcome_variance"
"""Name of the note that `NoteOutcomeVariance` leaves for `ElasticBounds`."""


@dataclass(frozen=True, slots=True)
class NoteOutcomeVariance:
    """Transform: notes `4 Var(R)` of each row's group, R in [0, 1]; 4 p (1 - p) if binary.

    R are outcomes before shaping, episodes counted once, the variance that of the population.

    Attributes:
        low: outcome that counts as 0.
        high: outcome that counts as 1; what lies outside is clamped.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset()
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f"`outcome_low` {self.low} must be below `outcome_high` {self.high}.")

    def __call__(self, batch: Batch) -> Batch:
        """Add the note; advantages stay."""
        outcomes_B = batch.returns_B if batch.outcomes_B is None else batch.outcomes_B
        rate_B = ((outcomes_B.double() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
        group = group_statistics(batch, rate_B)
        count_B = group.count_B.clamp(min=1)
        variance_B = 4 * group.std_B**2 * (count_B - 1) / count_B
        return batch.with_notes(**{NOTE: variance_B})


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticBounds:
    """[1 - s clip_low, 1 + s clip_high], s larger for large advantages and mixed groups (ETR).

    s = 1 + advantage_gain (|A| / (1 + |A|) - 1/2) + group_gain (v - 1/2), inside
    [scale_low, scale_high]; v = 4 Var of the group's outcomes, see `NoteOutcomeVariance`.  With
    both gains 0 these are `ConstantBounds`.

    Source: ETR; reconstructed from the abstract, which names the two dependencies but no formula.

    Attributes:
        clip_low: epsilon (low) at s = 1; the lower bound stays at 0.05 or above.
        clip_high: epsilon (high) at s = 1.
        advantage_gain: how much s depends on the advantage.
        group_gain: how much s depends on the group.
        scale_low: smallest s.
        scale_high: largest s.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset()
    clip_low: float = 0.2
    clip_high: float = 0.28
    advantage_gain: float = 1.0
    group_gain: float = 1.0
    scale_low: float = 0.5
    scale_high: float = 2.0

    def __post_init__(self) -> None:
        in_range("clip_low", self.clip_low, 0, 1)
        in_range("clip_high", self.clip_high, 0)
        in_range("advantage_gain", self.advantage_gain, 0)
        in_range("group_gain", self.group_gain, 0)
        in_range("scale_low", self.scale_low, 0, 1)
        in_range("scale_high", self.scale_high, 1)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` where nothing notes the variance of groups."""
        if not any(isinstance(step, NoteOutcomeVariance) for step in algorithm.transforms):
            raise ConfigError(
                "`bounds` ElasticBounds reads the variance of each group's outcomes; add "
                "NoteOutcomeVariance() to `transforms`, or use the algorithm etr."
            )

    def __call__(self, view: View) -> Bounds:
        """Return two tensors [B, T]."""
        size_BT = view.advantages_BT.double().abs()
        size_BT = size_BT / (1 + size_BT)
        mixed_B1 = view.batch.notes[NOTE].unsqueeze(-1)
        scale_BT = (
            1 + self.advantage_gain * (size_BT - 0.5) + self.group_gain * (mixed_B1 - 0.5)
        ).clamp(self.scale_low, self.scale_high)
        low_BT = 1 - (self.clip_low * scale_BT).clamp(max=max(self.clip_low, 0.95))
        kind = view.ratio_BT.dtype
        return Bounds(low_BT.to(kind), (1 + self.clip_high * scale_BT).to(kind))
