"""Statistics over episodes and groups, and the timeline of an episode's tokens.

A row is one sequence; an episode has several rows in `window` mode, with equal returns.  Group
statistics count each episode once, whatever its number of rows, and leave out episodes without a
valid token.  Groups and episodes are keyed by their integers, never by adjacency.  Sums run in
float64, so a group of equal returns has a deviation of zero and not of rounding noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch


def episode_index(batch: Batch) -> tuple[Tensor, int]:
    """Return (index 0..E-1 of each row's episode [B], number of episodes E)."""
    unique, index_B = torch.unique(batch.episodes_B, return_inverse=True)
    return index_B, len(unique)


def episode_sum(batch: Batch, values_B: Tensor) -> Tensor:
    """Return, for each row, the sum of `values_B` over all rows of its episode [B]."""
    index_B, count = episode_index(batch)
    sums = values_B.new_zeros(count).index_add(0, index_B, values_B)
    return sums[index_B]


def counted_rows(batch: Batch, samples: str = "episodes") -> Tensor:
    """Return bool [B]: the rows that stand for a sample of the group statistics.

    Args:
        batch: the rows.
        samples: `episodes` takes the first row with a valid token of each episode; `rows` takes
            every row with a valid token, so that long episodes weigh more in `window` mode
            (langfengQ/verl-agent, `compute_mean_std_cross_steps=True`).
    """
    live_B = batch.valid_BT.any(-1)
    if samples == "rows":
        return live_B
    index_B, count = episode_index(batch)
    rows_B = torch.arange(len(live_B), device=live_B.device)
    position_B = torch.where(live_B, rows_B, len(live_B))
    first = torch.full((count,), len(live_B), device=live_B.device)
    first = first.scatter_reduce(0, index_B, position_B, "amin")
    return live_B & (rows_B == first[index_B])


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Statistics of one number per episode over its group, given back for every row [B], float64.

    Attributes:
        count_B: counted episodes of the row's group.
        mean_B: their mean; 0 where none is counted.
        std_B: their unbiased (n - 1) standard deviation; 0 where fewer than two are counted.
    """

    count_B: Tensor
    mean_B: Tensor
    std_B: Tensor


def group_sum(groups_B: Tensor, values_B: Tensor) -> Tensor:
    """Return, for each row, the sum of `values_B` over all rows of its group [B]."""
    unique, index_B = torch.unique(groups_B, return_inverse=True)
    sums = values_B.new_zeros(len(unique)).index_add(0, index_B, values_B)
    return sums[index_B]


def group_statistics(batch: Batch, values_B: Tensor, samples: str = "episodes") -> GroupStatistics:
    """Return count, mean and standard deviation of `values_B` over each row's group."""
    counted_B = counted_rows(batch, samples)
    values_B = torch.where(counted_B, values_B.double(), 0.0)
    count_B = group_sum(batch.groups_B, counted_B.double())
    mean_B = group_sum(batch.groups_B, values_B) / count_B.clamp(min=1)
    centred_B = torch.where(counted_B, values_B - mean_B, 0.0)
    squares_B = group_sum(batch.groups_B, centred_B**2)
    return GroupStatistics(count_B, mean_B, (squares_B / (count_B - 1).clamp(min=1)).sqrt())
