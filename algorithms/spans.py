"""Which episodes pass through which spans: the trees of a batch, seen from its tokens.

A *span* is a piece of sampled tokens that is stored once: a node of the trajectory tree.  Episodes
that share the beginning of a path share its spans, and each has a token of its own in the batch
there.  A *passage* is one episode on one span; P of them in all.  An episode passes through the
spans of its valid tokens and, if it has any, through those given to it (`Batch.given_BN`).  Neither
the order of rows matters nor how many of them an episode has.

Down a path of a tree the set of episodes only shrinks, so spans of a path with equally many
episodes have the same ones.  A run of such spans is a *level* of the path.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.episodes import counted_rows, episode_index


@dataclass(frozen=True, slots=True)
class Passages:
    """Episodes on spans, ordered by episode, then from the widest level down, then by span.

    Attributes:
        index_BT: passage of each token, -1 at masked positions.
        span_P: number of the passage's span, from 0.
        row_P: the row that stands for the episode in statistics (`counted_rows`).
        count_P: episodes that pass through the span.
        above_P: a passage of the next wider level of the path, -1 at the widest.
        tree_B: a number per row that is equal for episodes of one tree, those whose widest levels
            agree; -1 for rows of episodes without a valid token.
    """

    index_BT: Tensor
    span_P: Tensor
    row_P: Tensor
    count_P: Tensor
    above_P: Tensor
    tree_B: Tensor

    def mean(self, values_B: Tensor) -> Tensor:
        """Return the mean of a number per episode over those that pass through the span [P]."""
        sums_S = values_B.new_zeros(len(self.span_P))
        sums_S = sums_S.index_add(0, self.span_P, values_B[self.row_P])
        return sums_S[self.span_P] / self.count_P.to(values_B.dtype)

    def above(self, values_P: Tensor, root_P: Tensor) -> Tensor:
        """Return the value of the next wider level [P], at the widest that of `root_P`."""
        if not len(values_P):
            return values_P
        return torch.where(self.above_P < 0, root_P, values_P[self.above_P.clamp(min=0)])

    def spread(self, values_P: Tensor) -> Tensor:
        """Return each passage's value at its tokens [B, T], 0 at masked positions."""
        if not len(values_P):
            return values_P.new_zeros(self.index_BT.shape)
        return masked.fill(values_P[self.index_BT.clamp(min=0)], self.index_BT >= 0)


def passages(batch: Batch) -> Passages:
    """Find the passages of a batch.

    Raises:
        StatisticMissing: the rollout does not say which tokens are shared.
    """
    episode_B, episodes = episode_index(batch)
    span_V, row_V = _visits(batch)
    key_P, passage_V = torch.unique(span_V * episodes + episode_B[row_V], return_inverse=True)
    span_P, episode_P = key_P // max(episodes, 1), key_P % max(episodes, 1)
    count_P = torch.bincount(span_P, minlength=1)[span_P]
    order_P = torch.argsort(count_P, descending=True, stable=True)
    order_P = order_P[torch.argsort(episode_P[order_P], stable=True)]
    index_BT = torch.full(batch.mask_BT.shape, -1, device=order_P.device)
    index_BT[batch.valid_BT] = torch.argsort(order_P)[passage_V[: int(batch.valid_BT.sum())]]
    span_P, episode_P, count_P = span_P[order_P], episode_P[order_P], count_P[order_P]
    row_E, tree_E = torch.full((2, episodes), -1, device=order_P.device)
    counted_C = counted_rows(batch).nonzero().squeeze(-1)
    row_E[episode_B[counted_C]] = counted_C
    above_P, first_P = _levels(episode_P, count_P)
    tree_E[episode_P] = span_P[first_P]
    return Passages(index_BT, span_P, row_E[episode_P], count_P, above_P, tree_E[episode_B])


def _visits(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return span (from 0) and row of every valid token, then of everything given to a row [V]."""
    valid_BT = batch.valid_BT
    row_V, span_V = valid_BT.nonzero()[:, 0], batch.need("spans_BT")[valid_BT].long()
    if batch.given_BN is not None:
        there_BN = (batch.given_BN >= 0) & valid_BT.any(-1, keepdim=True)
        row_V = torch.cat([row_V, there_BN.nonzero()[:, 0]])
        span_V = torch.cat([span_V, batch.given_BN[there_BN].long()])
    return torch.unique(span_V, return_inverse=True)[1], row_V


def _levels(episode_P: Tensor, count_P: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first passage of the next wider level, -1 at the top, and of the episode [P]."""
    starts_P = torch.ones_like(episode_P, dtype=torch.bool)
    starts_P[1:] = episode_P[1:] != episode_P[:-1]
    first_P = starts_P.nonzero().squeeze(-1)[starts_P.cumsum(0) - 1]
    starts_P[1:] |= count_P[1:] != count_P[:-1]
    level_P = starts_P.cumsum(0) - 1
    begin_L = starts_P.nonzero().squeeze(-1)
    above_P = begin_L[(level_P - 1).clamp(min=0)]
    return torch.where(level_P == level_P[first_P], -1, above_P), first_P
