"""The turns of a batch's episodes, whatever their layout.

A *step* is one turn of one episode.  With one row per turn (`window`) every row holds one step,
with one row per episode (`full`) a row holds many; methods that credit single steps read this index
and work for both.  S steps in all, ordered by episode and turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.episodes import episode_index


@dataclass(frozen=True, slots=True)
class Steps:
    """Which step each token belongs to.

    Attributes:
        index_BT: number of the step, -1 at masked positions.
        episode_S: index 0..E-1 of the step's episode; non-decreasing.
        turn_S: the turn's number; increasing within an episode.
        group_S: the episode's group, as in `Batch.groups_B`.
        row_S: a row that holds tokens of the step (the first).
        tokens_S: valid tokens of the step, at least 1.
    """

    index_BT: Tensor
    episode_S: Tensor
    turn_S: Tensor
    group_S: Tensor
    row_S: Tensor
    tokens_S: Tensor

    @property
    def count(self) -> int:
        """S."""
        return len(self.turn_S)

    @property
    def last_S(self) -> Tensor:
        """Bool [S]: the last step of its episode that has a valid token."""
        last_S = torch.ones_like(self.episode_S, dtype=torch.bool)
        last_S[:-1] = self.episode_S[1:] != self.episode_S[:-1]
        return last_S

    def sum(self, values_BT: Tensor) -> Tensor:
        """Return the sum over each step's valid tokens [S]."""
        inside_BT = self.index_BT >= 0
        return values_BT.new_zeros(self.count).index_add(
            0, self.index_BT[inside_BT], values_BT[inside_BT]
        )

    def mean(self, values_BT: Tensor) -> Tensor:
        """Return the mean over each step's valid tokens [S]."""
        return self.sum(values_BT) / self.tokens_S.to(values_BT.dtype)

    def first(self, values_BT: Tensor) -> Tensor:
        """Return the value at one of the step's tokens [S], for values that are equal in a step."""
        inside_BT = self.index_BT >= 0
        values_S = values_BT.new_zeros(self.count)
        values_S[self.index_BT[inside_BT]] = values_BT[inside_BT]
        return values_S

    def spread(self, values_S: Tensor) -> Tensor:
        """Return each step's value at its tokens [B, T], 0 at masked positions."""
        if not self.count:
            return values_S.new_zeros(self.index_BT.shape)
        return masked.fill(values_S[self.index_BT.clamp(min=0)], self.index_BT >= 0)


def steps(batch: Batch) -> Steps:
    """Number the steps that have a valid token."""
    episode_B, _ = episode_index(batch)
    valid_BT = batch.valid_BT
    row, _ = valid_BT.nonzero(as_tuple=True)
    pairs = torch.stack([episode_B[row], batch.turns_BT.long()[valid_BT]], -1)
    unique, index = torch.unique(pairs, dim=0, return_inverse=True)
    index_BT = torch.full(valid_BT.shape, -1, dtype=torch.long, device=row.device)
    index_BT[valid_BT] = index
    row_S = torch.full((len(unique),), len(valid_BT), device=row.device)
    row_S = row_S.scatter_reduce(0, index, row, "amin")
    return Steps(
        index_BT=index_BT,
        episode_S=unique[:, 0],
        turn_S=unique[:, 1],
        group_S=batch.groups_B[row_S],
        row_S=row_S,
        tokens_S=torch.bincount(index, minlength=len(unique)),
    )


def discounted_returns(batch: Batch, index: Steps, gamma: float) -> Tensor:
    """Return R_k = r_k + gamma R_{k+1} for every step [S], float64, along its episode's turns.

    r_k is the reward credited to the step's tokens (`rewards_BT`, or the episode's return at its
    last step where rewards were not credited).
    """
    if batch.rewards_BT is not None:
        reward_S = index.sum(masked.fill(batch.rewards_BT.double(), batch.valid_BT))
    else:
        reward_S = torch.where(index.last_S, batch.returns_B.double()[index.row_S], 0.0)
    returns_S, last_S = reward_S.clone(), index.last_S
    for step in range(index.count - 2, -1, -1):
        if not last_S[step]:
            returns_S[step] += gamma * returns_S[step + 1]
    return returns_S
