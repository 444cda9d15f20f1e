"""Means over the tokens of a turn, then the turns of an episode, then the episodes."""

from __future__ import annotations

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.steps import steps


def turn_weights(batch: Batch) -> Tensor:
    """Return weights [B, T] whose mean over the valid tokens is 1, 0 at masked positions.

    The token mean of weighted values is 1/E sum_j 1/K_j sum_k 1/n_jk sum_i x_jki: E episodes with a
    valid token, K_j turns of episode j with one, n_jk tokens of its turn k.
    """
    index = steps(batch)
    tokens_S = index.tokens_S.to(batch.returns_B.dtype)
    if not index.count:
        return torch.zeros_like(batch.mask_BT, dtype=tokens_S.dtype)
    turns_E = torch.bincount(index.episode_S).to(tokens_S.dtype)
    episodes = (turns_E > 0).sum()
    weight_S = tokens_S.sum() / (episodes * turns_E[index.episode_S] * tokens_S)
    return index.spread(weight_S)
