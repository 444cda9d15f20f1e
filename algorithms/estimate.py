"""From returns to advantages: everything an algorithm does before the loss."""

from __future__ import annotations

from dataclasses import replace

import torch

from agentrl.algorithms import masked
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch


@torch.no_grad()
def estimate_advantages(algorithm: Algorithm, batch: Batch) -> Batch:
    """Set and shape rewards, filter groups, estimate and transform advantages, filter samples.

    Works on the whole update batch at once, since group and batch statistics need all of it.
    Filters only zero the mask, so rows keep their places; count the `Normaliser` of the result.

    Args:
        algorithm: its slots up to `sample_filters` are applied.
        batch: rows with every statistic of `algorithm.requires` that is not `Stat.current`.

    Returns:
        A copy with `advantages_BT` [B, T] (0 at masked positions, no gradient), perhaps
        `value_targets_BT`, changed rewards, and a smaller mask.

    Raises:
        StatisticMissing: a slot reads a statistic that is not there.
    """
    batch = batch.clean()
    if batch.outcomes_B is None:
        batch = replace(batch, outcomes_B=batch.returns_B)
    if algorithm.reward is not None:
        batch = algorithm.reward(batch)
        batch = replace(batch, outcomes_B=batch.returns_B)
    for shape in algorithm.reward_shaping:
        batch = shape(batch)
    if algorithm.group_filter is not None:
        batch = algorithm.group_filter(batch)
    batch = algorithm.advantage(batch)
    for step in (*algorithm.transforms, *algorithm.sample_filters):
        batch = step(batch)
    return replace(batch, advantages_BT=masked.fill(batch.advantages, batch.valid_BT))
