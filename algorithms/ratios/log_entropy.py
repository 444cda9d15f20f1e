"""HAPO's scale of entropy: how far ln H lies from a high quantile, in [-1, 1] over a batch.

Its sampler (`strategies.hapo_sampler`) and its advantage and clip range read the same statistic.
Source: HAPO; starriver030515/HAPO:verl/trainer/ppo/core_algos.py, `compute_entropy_h`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms.checks import in_range, one_of

FLOOR = 1e-8
"""Least entropy, variance and extreme that is divided by or taken the logarithm of."""

SIGNS = ("intended", "official")
"""Below the median, `intended` is in [-1, 0]; the released code divides by a negative number."""


@dataclass(frozen=True, slots=True)
class LogEntropyStatistics:
    """Scalars of one batch.

    Attributes:
        median: the pivot quantile of ln H.
        std: root mean square distance of ln H from it.
        scale_above: 1 / the largest standardised value, > 0.
        scale_below: 1 / |the least standardised value|, > 0.
    """

    median: Tensor
    std: Tensor
    scale_above: Tensor
    scale_below: Tensor


def log_entropy_statistics(
    entropy_BT: Tensor, valid_BT: Tensor, pivot: float = 0.8
) -> LogEntropyStatistics:
    """Return the statistics of ln H over valid tokens, detached.

    The quantile is an element of the batch, the one of rank round(pivot * (M - 1)).  A batch
    without valid tokens gives median 0.

    Args:
        entropy_BT: H in nats.
        valid_BT: bool, which tokens count.
        pivot: quantile, in [0, 1].
    """
    in_range("entropy_pivot", pivot, 0, 1)
    log_M = entropy_BT.detach()[valid_BT].clamp(min=FLOOR).log()
    if not len(log_M):
        one = entropy_BT.new_ones(())
        return LogEntropyStatistics(median=one * 0, std=one, scale_above=one, scale_below=one)
    median = log_M.sort().values[round(pivot * (len(log_M) - 1))]
    centred_M = log_M - median
    std = centred_M.square().mean().clamp(min=FLOOR).sqrt()
    above = (centred_M.max() / std).clamp(min=FLOOR)
    below = (-centred_M.min() / std).clamp(min=FLOOR)
    return LogEntropyStatistics(
        median=median, std=std, scale_above=1 / above, scale_below=1 / below
    )


def scaled_log_entropy(
    entropy: Tensor, statistics: LogEntropyStatistics, sign: str = "intended"
) -> Tensor:
    """Return the centred and scaled log entropy of tokens, any shape, detached.

    Over the batch of the statistics it lies in [-1, 1], above 0 where ln H is above the median.

    Args:
        entropy: H in nats; what stands at masked positions passes through.
        statistics: of this batch, or of an earlier one.
        sign: `intended`, or `official`: the released code's slip, where no value is below 0.
    """
    one_of("hapo_sign", sign, SIGNS)
    centred = (entropy.detach().clamp(min=FLOOR).log() - statistics.median) / statistics.std
    below = centred * statistics.scale_below
    below = below if sign == "intended" else -below
    return torch.where(centred > 0, centred * statistics.scale_above, below)
