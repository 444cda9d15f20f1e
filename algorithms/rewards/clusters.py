"""Clusters of equal answers within groups, and what follows from their sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.episodes import group_sum


def cluster(answers: Sequence[Any], same: Callable[[Any, Any], bool]) -> list[int]:
    """Return the cluster of each answer, numbered in order of their first members.

    Args:
        answers: in order; None never joins another and is never joined.
        same: compares an answer with the first member of a cluster.
    """
    found: list[int] = []
    firsts: list[Any] = []
    for answer in answers:
        places = range(len(firsts)) if answer is not None else ()
        fits = (at for at in places if firsts[at] is not None and same(answer, firsts[at]))
        place = next(fits, len(firsts))
        if place == len(firsts):
            firsts.append(answer)
        found.append(place)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """The clusters of every group, given back for each row [B]; rows of an episode agree.

    Only episodes with a valid token count; the others have cluster -1 and zeros.

    Attributes:
        cluster_B: number of the episode's cluster in its group, in order of first members.
        size_B: episodes of that cluster, float64.
        count_B: counted episodes of the group, float64.
        place_B: place of the episode in its group, in the order of sampling.
        empty_B: bool, the episode gave no answer.
        groups_B: the group, as in the batch.
        first_B: bool, one row of each counted episode.
    """

    cluster_B: Tensor
    size_B: Tensor
    count_B: Tensor
    place_B: Tensor
    empty_B: Tensor
    groups_B: Tensor
    first_B: Tensor

    @property
    def counted_B(self) -> Tensor:
        """Bool [B]: the episode counts."""
        return self.cluster_B >= 0

    @property
    def share_B(self) -> Tensor:
        """Size of the episode's cluster / episodes of the group [B], float64."""
        return self.size_B / self.count_B.clamp(min=1)

    @property
    def repeated_B(self) -> Tensor:
        """Bool [B]: some answers of the group are equal; entropy is below ln(count)."""
        return _group_max(self.groups_B, self.size_B, self.counted_B) > 1

    def majority(self) -> Tensor:
        """Return bool [B]: members of the largest non-empty cluster; the first of equal ones.

        Nobody is where no episode of the group gave an answer.
        """
        voters_B = self.counted_B & ~self.empty_B
        ahead_B = voters_B & (self.size_B == _group_max(self.groups_B, self.size_B, voters_B))
        first_B = -_group_max(self.groups_B, -self.cluster_B.double(), ahead_B)
        return ahead_B & (self.cluster_B == first_B)

    def largest_share(self) -> Tensor:
        """Return the share of the group's largest cluster [B], float64; empty ones count."""
        return _group_max(self.groups_B, self.share_B, self.counted_B)

    def entropy(self) -> Tensor:
        """Return the semantic entropy of the group, -sum over clusters p ln p, in nats [B].

        It is the mean of -ln p over episodes, each with the share p of its own cluster.
        """
        logs_B = torch.where(self.counted_B, self.share_B, 1.0).log()
        return self.sum(-logs_B) / self.count_B.clamp(min=1)

    def sum(self, values_B: Tensor) -> Tensor:
        """Return the sum over the group's counted episodes of a number per episode [B]."""
        return group_sum(self.groups_B, torch.where(self.first_B, values_B, 0.0))

    def within(self, values_B: Tensor) -> Tensor:
        """Return the sum over the members of the episode's cluster [B]; 0 if it does not count."""
        pairs = torch.stack([self.groups_B, self.cluster_B], -1)
        _, index_B = torch.unique(pairs, dim=0, return_inverse=True)
        sums_B = group_sum(index_B, torch.where(self.first_B, values_B, 0.0))
        return torch.where(self.counted_B, sums_B, 0.0)


def _group_max(groups_B: Tensor, values_B: Tensor, among_B: Tensor) -> Tensor:
    """Return the largest value among the chosen rows of each group [B]; 0 where there are none."""
    unique, index_B = torch.unique(groups_B, return_inverse=True)
    values_B = torch.where(among_B, values_B.double(), -torch.inf)
    most = values_B.new_full((len(unique),), -torch.inf)
    most_B = most.scatter_reduce(0, index_B, values_B, "amax")[index_B]
    return torch.where(most_B.isinf(), 0.0, most_B)
