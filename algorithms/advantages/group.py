"""Sequence-level advantages: one number per episode, repeated over its tokens.

R is the episode's return, mu_g and sigma_g mean and unbiased standard deviation over the episodes
of its group, k their number.  Advantages carry no gradient and are 0 at masked positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import (
    GroupStatistics,
    counted_rows,
    episode_sum,
    group_statistics,
    group_sum,
)

SCALES = ("group", "batch", "none")
SAMPLES = ("episodes", "rows")


def spread(batch: Batch, advantages_B: Tensor) -> Batch:
    """Return the batch with one advantage per row repeated over the row's valid tokens."""
    per_row = advantages_B.detach().to(batch.returns_B.dtype).unsqueeze(-1)
    return replace(batch, advantages_BT=masked.fill(per_row, batch.valid_BT))


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRelative:
    """`(R - mu_g) / (sigma + epsilon)` (GRPO), or `R - mu_g` (Dr.GRPO).

    Source: verl-project/verl:verl/trainer/ppo/core_algos.py, `compute_grpo_outcome_advantage`;
    `scale="batch"` is huggingface/trl's `scale_rewards="batch"`.

    Attributes:
        scale: `group` divides by sigma_g, `batch` by the deviation over all episodes, `none` by 1.
        epsilon: added to sigma (verl 1e-6, TRL 1e-4).
        lone: a group with one counted episode has no baseline: `raw` keeps R (verl: mean 0,
            deviation 1), `zero` learns nothing from it.
        samples: `episodes` or `rows`, see `counted_rows`.
        population: sigma_g divides by k instead of k - 1.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    scale: str = "group"
    epsilon: float = 1e-6
    lone: str = "raw"
    samples: str = "episodes"
    population: bool = False

    def __post_init__(self) -> None:
        one_of("scale", self.scale, SCALES)
        one_of("lone", self.lone, ("raw", "zero"))
        one_of("samples", self.samples, SAMPLES)
        in_range("epsilon", self.epsilon, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        mean_B, scale_B, lone_B = self.measure(batch)
        relative_B = (batch.returns_B.double() - mean_B) / scale_B
        if self.lone == "zero":
            relative_B = torch.where(lone_B, 0.0, relative_B)
        return spread(batch, relative_B)

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return what returns are compared with [B]: mean, scale, and which groups have one only.

        Mean and scale are float64; a group with one counted episode has mean 0 and scale 1, the
        latter plus epsilon.
        """
        group = group_statistics(batch, batch.returns_B, self.samples)
        lone_B = group.count_B <= 1
        scale_B = torch.ones_like(group.std_B)
        if self.scale == "group":
            # The official deviation of a lone episode is a float32 one.
            lone_scale = float(torch.ones(()) + self.epsilon)
            std_B = self._deviation(group)
            scale_B = torch.where(lone_B, lone_scale, std_B + self.epsilon)
        elif self.scale == "batch":
            everyone = replace(batch, groups_B=torch.zeros_like(batch.groups_B))
            std_B = group_statistics(everyone, batch.returns_B, self.samples).std_B
            scale_B = std_B + self.epsilon
        return torch.where(lone_B, 0.0, group.mean_B), scale_B, lone_B

    def _deviation(self, group: GroupStatistics) -> Tensor:
        if not self.population:
            return group.std_B
        others_B = (group.count_B - 1).clamp(min=0)
        return group.std_B * (others_B / group.count_B.clamp(min=1)).sqrt()


@dataclass(frozen=True, slots=True)
class EpisodeReturn:
    """`R` itself, no baseline (REINFORCE)."""

    requires: ClassVar[frozenset[Stat]] = frozenset()

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        return spread(batch, batch.returns_B)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """`R` minus the mean of the other episodes of the group, `(R - mu_g) k / (k - 1)` (RLOO).

    Source: Ahmadian et al., Back to Basics (arXiv 2402.14740); a group with one counted episode
    keeps R, as in verl's `compute_rloo_outcome_advantage`.

    Attributes:
        samples: `episodes` or `rows`, see `counted_rows`.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    samples: str = "episodes"

    def __post_init__(self) -> None:
        one_of("samples", self.samples, SAMPLES)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        group = group_statistics(batch, batch.returns_B, self.samples)
        returns_B = batch.returns_B.double()
        others_B = group.count_B / (group.count_B - 1).clamp(min=1)
        relative_B = (returns_B - group.mean_B) * others_B
        return spread(batch, torch.where(group.count_B <= 1, returns_B, relative_B))


@dataclass(frozen=True, slots=True)
class LengthWeightedBaseline:
    """`R - sum n_j R_j / sum n_j` over the group, n_j the valid tokens of episode j (OPO).

    A group with one counted episode keeps R.

    Source: verl-project/verl:verl/trainer/ppo/core_algos.py, `compute_opo_outcome_advantage`.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        returns_B = batch.returns_B.double()
        tokens_B = episode_sum(batch, batch.valid_BT.sum(-1).double())
        weight_B = torch.where(counted_rows(batch), tokens_B, 0.0)
        group_B = group_sum(batch.groups_B, weight_B).clamp(min=1)
        weighted_B = torch.where(weight_B > 0, weight_B * returns_B, 0.0)
        baseline_B = group_sum(batch.groups_B, weighted_B) / group_B
        members_B = group_sum(batch.groups_B, (weight_B > 0).double())
        return spread(batch, returns_B - torch.where(members_B <= 1, 0.0, baseline_B))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledGroupMean:
    """`alpha (R - mu_g)`, alpha = episodes / episodes with a non-zero return (GPG).

    Source: verl-project/verl:verl/trainer/ppo/core_algos.py, `compute_gpg_outcome_advantage`; a
    group with one counted episode keeps `alpha R`.

    Attributes:
        samples: `episodes` or `rows`, see `counted_rows`.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    samples: str = "episodes"

    def __post_init__(self) -> None:
        one_of("samples", self.samples, SAMPLES)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        counted_B = counted_rows(batch, self.samples)
        group = group_statistics(batch, batch.returns_B, self.samples)
        signal = (counted_B & (batch.returns_B != 0)).sum().clamp(min=1)
        baseline_B = torch.where(group.count_B <= 1, 0.0, group.mean_B)
        scale = int(counted_B.sum()) / signal  # float32, as in the official code
        return spread(batch, scale * (batch.returns_B.double() - baseline_B))
