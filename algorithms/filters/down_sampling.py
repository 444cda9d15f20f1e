"""D3S: learn from the episodes whose advantages vary most, and from their most telling tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import counted_rows, episode_index, episode_sum


def lowest_of_best_subset(values: Sequence[float], keep: int) -> int:
    """Return how many of the smallest values the subset of largest variance holds.

    A best subset of `keep` values is always the l smallest and the keep - l largest; of equally
    good l the smallest is returned.

    Args:
        values: in ascending order.
        keep: size of the subset, at most the number of values.
    """
    best, best_variance = 0, -1.0
    shift = sum(values) / max(len(values), 1)
    head = values[:keep]
    tail = values[len(values) - keep :]
    total = sum(value - shift for value in tail)
    square = sum((value - shift) ** 2 for value in tail)
    for lowest in range(keep + 1):
        if lowest:
            new, old = head[lowest - 1] - shift, tail[lowest - 1] - shift
            total, square = total + new - old, square + new**2 - old**2
        variance = square / keep - (total / keep) ** 2
        if variance > best_variance + 1e-9 * max(abs(best_variance), 1e-9):
            best, best_variance = lowest, variance
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class DownSample:
    """Sample filter: keep the episodes of largest Var(A), then their tokens of largest |A| H.

    Both shares move linearly from their first to their last value over the run.  H is the entropy
    under the old policy.  What is removed leaves the normaliser; advantages stay as they are, since
    normalising the subset again would undo the gain in variance.  Of episodes with equal advantages
    those with the larger mean entropy are kept.

    Source: D3S (arXiv 2509.22115), from its abstract and reviews; the four shares are not known
    and ours train about a sixth of all tokens (the paper: fewer than a fifth).

    Attributes:
        first_episodes: share of the episodes kept at the start.
        last_episodes: at the end of the run.
        first_tokens: share of the kept episodes' tokens kept at the start; 1 keeps all.
        last_tokens: at the end.
        scope: `batch` compares all episodes of the update, `group` those of one task (D3S-I).
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_ENTROPY})
    first_episodes: float = 0.25
    last_episodes: float = 0.5
    first_tokens: float = 0.3
    last_tokens: float = 0.6
    scope: str = "batch"

    def __post_init__(self) -> None:
        for name in ("first_episodes", "last_episodes", "first_tokens", "last_tokens"):
            in_range(name, getattr(self, name), 0, 1, open_low=True)
        one_of("scope", self.scope, ("batch", "group"))

    def __call__(self, batch: Batch) -> Batch:
        """Mask what is not kept."""
        kept = batch.keep(self.episodes(batch))
        share = _between(self.first_tokens, self.last_tokens, batch.progress)
        return kept if share >= 1 else kept.keep(_highest(kept, share))

    def episodes(self, batch: Batch) -> Tensor:
        """Return bool [B]: rows of the episodes that are kept."""
        share = _between(self.first_episodes, self.last_episodes, batch.progress)
        counted_B = counted_rows(batch)
        advantage_B = _episode_mean(batch, batch.advantages.double())
        entropy_B = _episode_mean(batch, batch.stat(Stat.OLD_ENTROPY).double())
        scope_B = batch.groups_B if self.scope == "group" else torch.zeros_like(batch.groups_B)
        index_B, count = episode_index(batch)
        keep_E = torch.zeros(count, dtype=torch.bool, device=index_B.device)
        for label in torch.unique(scope_B[counted_B]):
            rows_C = (counted_B & (scope_B == label)).nonzero().squeeze(-1)
            chosen_C = _subset(advantage_B[rows_C], entropy_B[rows_C], share)
            keep_E[index_B[rows_C[chosen_C]]] = True
        return keep_E[index_B]


def _between(first: float, last: float, progress: float) -> float:
    return first + progress * (last - first)


def _episode_mean(batch: Batch, values_BT: Tensor) -> Tensor:
    """Return the mean over all valid tokens of each row's episode [B]."""
    sums_B = episode_sum(batch, masked.row_sum(values_BT, batch.valid_BT))
    return sums_B / episode_sum(batch, batch.valid_BT.sum(-1).double()).clamp(min=1)


def _subset(advantage_C: Tensor, entropy_C: Tensor, share: float) -> Tensor:
    """Return bool [C]: the episodes of the subset of largest variance."""
    keep = max(1, min(round(share * len(advantage_C)), len(advantage_C)))
    values_C = advantage_C.round(decimals=9)  # what differs by rounding is equal
    ordered = torch.argsort(entropy_C.round(decimals=9), descending=True, stable=True)
    upwards = ordered[torch.argsort(values_C[ordered], stable=True)]
    downwards = ordered[torch.argsort(values_C[ordered], descending=True, stable=True)]
    lowest = lowest_of_best_subset(values_C[upwards].tolist(), keep)
    chosen_C = torch.zeros(len(values_C), dtype=torch.bool, device=values_C.device)
    chosen_C[upwards[:lowest]] = True
    left = downwards[~chosen_C[downwards]]
    chosen_C[left[: keep - lowest]] = True
    return chosen_C


def _highest(batch: Batch, share: float) -> Tensor:
    """Return bool [B, T]: tokens whose |A| H is at least the ceil(share n)-th largest."""
    valid_BT = batch.valid_BT
    score_BT = batch.advantages.abs() * batch.stat(Stat.OLD_ENTROPY)
    score_M = score_BT[valid_BT]
    if not len(score_M):
        return valid_BT
    rank = max(1, math.ceil(share * len(score_M) - 1e-9))
    threshold = score_M.topk(rank).values[-1]
    return valid_BT & (score_BT >= threshold)
