"""Weights by how hard a task was for its group: APO's length pressure and KL weight.

Source: APO (arXiv 2506.21655); Indolent-Kawhi/View-R1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.episodes import episode_sum, group_statistics
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.transforms.semantic import scale_advantages

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


def dads_weight(difficulty: Tensor) -> Tensor:
    """Return the KL weight for difficulties d in [0, 1], any shape.

    1 where all or none are right, else 1 - exp(-e (1 - d)): 0.93 for nearly easy tasks and less
    the harder, so that hard ones may move further.
    """
    one_sided = (difficulty <= 0) | (difficulty >= 1)
    return torch.where(one_sided, 1.0, 1 - (-math.e * (1 - difficulty)).exp())


def stcr_weight(excess: Tensor, base: float) -> Tensor:
    """Return `2 - base^-excess` where the excess is positive, else 1; any shape."""
    return torch.where(excess > 0, 2 - base ** -excess.clamp(min=0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LongWrong:
    """Transform: larger advantages for wrong episodes longer than the right ones (STCR).

    `w = 2 - c^-(n_i - Lp)` for a wrong episode of n_i > Lp sampled tokens, Lp the mean of the
    group's right ones; 1 for the others, and where the group has no right one.

    Attributes:
        base: c, just above 1: a thousand tokens too many are 1%.
        truth: where it learns which episodes are right.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_truth: ClassVar[bool] = True
    base: float = 1.00001
    truth: Truth = field(default_factory=Truth)

    def __post_init__(self) -> None:
        in_range("length_base", self.base, 1)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` if the reward is self-labelled."""
        self.truth.check(self, algorithm)

    def factor(self, batch: Batch, lengths_B: Tensor) -> Tensor:
        """Return w [B], float64, for episodes of these lengths."""
        right_B = self.truth.right(batch)
        share_B = self.truth.accuracy(batch)
        right_lengths_B = torch.where(right_B, lengths_B.double(), 0.0)
        typical_B = group_statistics(batch, right_lengths_B).mean_B / share_B.clamp(min=1e-12)
        excess_B = torch.where(right_B | (share_B <= 0), 0.0, lengths_B.double() - typical_B)
        return stcr_weight(excess_B, self.base)

    def __call__(self, batch: Batch) -> Batch:
        """Scale the advantages."""
        lengths_B = episode_sum(batch, batch.valid_BT.sum(-1))
        return scale_advantages(batch, self.factor(batch, lengths_B))


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyKL:
    """Transform: leaves the weight of each row's KL term as the note `kl_weight` (DADS).

    The weight is `dads_weight(d)` for rows with a positive advantage and 1 for the others, d the
    share of the group that is wrong.

    Attributes:
        truth: where it learns which episodes are right.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_truth: ClassVar[bool] = True
    truth: Truth = field(default_factory=Truth)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` if the reward is self-labelled."""
        self.truth.check(self, algorithm)

    def difficulty(self, batch: Batch) -> Tensor:
        """Return d [B], float64."""
        return 1 - self.truth.accuracy(batch)

    def __call__(self, batch: Batch) -> Batch:
        """Add the note."""
        good_B = (batch.advantages > 0).any(-1)
        weight_B = torch.where(good_B, dads_weight(self.difficulty(batch)), 1.0)
        return batch.with_notes(kl_weight=weight_B)
