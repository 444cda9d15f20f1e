"""Filters: remove groups, rows or tokens by zeroing the mask.

What a filter removes also leaves the normaliser, which is counted afterwards.  To silence tokens
and keep the normaliser, use a weight (`agentrl.algorithms.behaviour.weights`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.behaviour.weights import MISMATCH, mismatch
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import group_statistics
from agentrl.algorithms.slots import View
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DropUniformGroups:
    """Group filter: drop groups whose episodes all have the same outcome (dynamic sampling).

    A group with one counted episode stays.  Reads `outcomes_B`, the return before shaping, so a
    length penalty does not keep a group whose answers are all wrong.  The trainer may sample more
    tasks in place of the dropped ones; `keep` tells it which.

    Source: DAPO (arXiv 2503.14476), eq. 11; verl-project/verl-recipe:dapo/dapo_ray_trainer.py.

    Attributes:
        tolerance: deviations up to this count as equal.
        refill: the trainer draws further tasks until enough groups are kept, in at most
            `rollout.max_rounds` rounds.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    tolerance: float = 1e-12
    refill: bool = False

    def __post_init__(self) -> None:
        in_range("group_filter.tolerance", self.tolerance, 0)

    def keep(self, batch: Batch) -> Tensor:
        """Return bool [B]: rows of groups that stay."""
        outcomes_B = batch.returns_B if batch.outcomes_B is None else batch.outcomes_B
        group = group_statistics(batch, outcomes_B)
        return (group.count_B <= 1) | (group.std_B > self.tolerance)

    def __call__(self, batch: Batch) -> Batch:
        """Mask the dropped groups."""
        return batch.keep(self.keep(batch))


@dataclass(frozen=True, slots=True)
class DropTruncated:
    """Sample filter: learn nothing from episodes that a limit cut off (overlong filtering).

    Their returns still count in the group's statistics.  Source: DAPO, section 3.4.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()

    def __call__(self, batch: Batch) -> Batch:
        """Mask the rows of truncated episodes."""
        return batch if batch.truncated_B is None else batch.keep(~batch.truncated_B.bool())


_KINDS = ("k1", "k2", "k3", "k3-inverse")
_LEVELS = ("token", "seq_sum", "seq_mean", "seq_max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Test: is the old policy close enough to the rollout policy?

    From x = l_old - l_rollout, per token: k1 = x, k2 = x^2 / 2, k3 = e^x - 1 - x,
    k3-inverse = e^-x - 1 + x (inclusionAI/AReaL's `kl_k3`); then, by level, the token itself, or
    sum, mean or maximum over the row's valid tokens.  All but k1 pass up to `high`; k1 passes
    inside [ln low, ln high], bounds of the ratio pi_old / pi_rollout.

    Source: verl-project/verl:verl/trainer/ppo/rollout_corr_helper.py, `rollout_rs`.  There the
    bounds of k1 act on the inverse ratio, so verl's [low, high] is [1/high, 1/low] here.

    Attributes:
        level: `token`, `seq_sum`, `seq_mean` or `seq_max` (not with k1).
        kind: `k1`, `k2`, `k3` or `k3-inverse`.
        high: the largest accepted value.
        low: k1 only; None means 1 / high.
    """

    requires: ClassVar[frozenset[Stat]] = MISMATCH
    level: str = "seq_mean"
    kind: str = "k3"
    high: float = 0.01
    low: float | None = None

    def __post_init__(self) -> None:
        one_of("mismatch.level", self.level, _LEVELS)
        one_of("mismatch.kind", self.kind, _KINDS)
        in_range("mismatch.high", self.high, 0, open_low=True)
        if self.kind == "k1" and self.level == "seq_max":
            raise ConfigError("`mismatch.level` seq_max needs `mismatch.kind` k2 or k3.")
        if self.low is not None:
            in_range("mismatch.low", self.low, 0, self.high, open_low=True)

    def keep(self, batch: Batch) -> Tensor:
        """Return bool [B, T]: tokens that pass, or tokens of rows that pass."""
        x_BT, valid_BT = mismatch(batch), batch.valid_BT
        match self.kind:
            case "k1":
                value_BT = x_BT
            case "k2":
                value_BT = x_BT**2 / 2
            case "k3":
                value_BT = torch.expm1(x_BT) - x_BT
            case _:
                value_BT = torch.expm1(-x_BT) + x_BT
        value_BT = self._reduced(value_BT, valid_BT)
        if self.kind != "k1":
            return value_BT <= self.high
        low = 1 / self.high if self.low is None else self.low
        return (value_BT >= math.log(low)) & (value_BT <= math.log(self.high))

    def _reduced(self, value_BT: Tensor, valid_BT: Tensor) -> Tensor:
        if self.level == "token":
            return value_BT
        if self.level == "seq_sum":
            value_B = masked.row_sum(value_BT, valid_BT)
        elif self.level == "seq_mean":
            value_B = masked.row_mean(value_BT, valid_BT)
        else:
            value_B = masked.fill(value_BT, valid_BT).amax(-1)
        return value_B.unsqueeze(-1).expand_as(value_BT)


@dataclass(frozen=True, slots=True)
class RejectMismatch:
    """Sample filter: remove tokens or rows that fail any test, and shrink the normaliser.

    Attributes:
        tests: all must pass.
    """

    requires: ClassVar[frozenset[Stat]] = MISMATCH
    tests: tuple[Mismatch, ...] = (Mismatch(),)

    def __call__(self, batch: Batch) -> Batch:
        """Mask what fails; every test sees the mask as it came."""
        keep_BT = torch.ones_like(batch.valid_BT)
        for test in self.tests:
            keep_BT = keep_BT & test.keep(batch)
        return batch.keep(keep_BT)


@dataclass(frozen=True, slots=True)
class RejectionWeight:
    """Behaviour weight: 0 where any test fails, 1 elsewhere; the normaliser stays as it was.

    Attributes:
        tests: all must pass.
    """

    requires: ClassVar[frozenset[Stat]] = MISMATCH
    tests: tuple[Mismatch, ...] = (Mismatch(),)

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T]."""
        keep_BT = torch.ones_like(view.valid_BT)
        for test in self.tests:
            keep_BT = keep_BT & test.keep(view.batch)
        return keep_BT.to(view.advantages_BT.dtype)
