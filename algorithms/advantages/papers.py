"""Bundles of tasks, and papers: one episode of each task of a bundle (RiskPO)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.episodes import counted_rows, episode_index


@dataclass(frozen=True, slots=True)
class Papers:
    """P papers of the counted episodes; every counted episode is in exactly one.

    Attributes:
        index_B: the paper of each row's episode, -1 where the episode does not count.
        bundle_P: the paper's bundle, from 0.
        count_P: episodes in it.
        counted_B: bool, one row for each counted episode.
    """

    index_B: Tensor
    bundle_P: Tensor
    count_P: Tensor
    counted_B: Tensor

    def sum(self, values_B: Tensor) -> Tensor:
        """Return the sum over each paper's episodes [P]."""
        sums_P = values_B.new_zeros(len(self.bundle_P))
        return sums_P.index_add(0, self.index_B[self.counted_B], values_B[self.counted_B])

    def spread(self, values_P: Tensor) -> Tensor:
        """Return each paper's value at its rows [B], 0 at rows in no paper."""
        if not len(values_P):
            return values_P.new_zeros(self.index_B.shape)
        return torch.where(self.index_B >= 0, values_P[self.index_B.clamp(min=0)], 0.0)


def papers(batch: Batch, size: int, pairing: str = "random") -> Papers:
    """Deal the episodes of each bundle of tasks into papers.

    Bundles hold `size` groups in the order of their labels; the last may hold fewer.  Paper j of a
    bundle takes one episode of each of its groups: that at place j of the group's episodes by
    label (`order`), or of a random order of them (`random`, which depends on `batch.step` only).
    A group with fewer episodes than another is missing in the last papers.

    Args:
        batch: the rows; episodes without a valid token are left out.
        size: groups in a bundle.
        pairing: `random` or `order`.
    """
    counted_B = counted_rows(batch)
    rows_C = counted_B.nonzero().squeeze(-1)
    rows_C = rows_C[torch.argsort(batch.episodes_B[rows_C], stable=True)]
    rows_C = rows_C[torch.argsort(batch.groups_B[rows_C], stable=True)]
    _, group_C, count_G = torch.unique(
        batch.groups_B[rows_C], return_inverse=True, return_counts=True
    )
    place_C = _places(count_G, batch.step, pairing).to(rows_C.device)
    keys_CK = torch.stack([group_C // size, place_C], -1)
    unique_PK, paper_C = torch.unique(keys_CK, dim=0, return_inverse=True)
    episode_B, episodes = episode_index(batch)
    paper_E = torch.full((episodes,), -1, device=rows_C.device)
    paper_E[episode_B[rows_C]] = paper_C
    return Papers(
        index_B=paper_E[episode_B],
        bundle_P=unique_PK[:, 0],
        count_P=torch.bincount(paper_C, minlength=len(unique_PK)),
        counted_B=counted_B,
    )


def _places(count_G: Tensor, step: int, pairing: str) -> Tensor:
    """Return the place of each episode in its group, group after group [C]."""
    random = torch.Generator().manual_seed(step)
    places = [
        torch.randperm(count, generator=random) if pairing == "random" else torch.arange(count)
        for count in count_G.tolist()
    ]
    return torch.cat([*places, torch.empty(0, dtype=torch.long)])
