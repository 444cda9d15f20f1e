"""Arithmetic over valid positions only.

Everything selects with `where` instead of multiplying by the mask, so that a NaN or an infinity at
a masked position never reaches a result or a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fill(values: Tensor, valid: Tensor, filler: float = 0.0) -> Tensor:
    """Return `values` with `filler` where `valid` (bool, same or broadcastable shape) is False."""
    return torch.where(valid, values, values.new_full((), filler))


COUNT_EPSILON = 1e-8
"""Added to counts in denominators: an empty mean is 0, and official results agree to 1e-9."""


def total(values: Tensor, valid: Tensor) -> Tensor:
    """Return the sum over all valid positions, a scalar."""
    return fill(values, valid).sum()


def mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over all valid positions, a scalar; 0 where there are none."""
    return total(values, valid) / (valid.sum().to(values.dtype) + COUNT_EPSILON)


def row_sum(values_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """Return the sum over each row's valid positions [B]."""
    return fill(values_BT, valid_BT).sum(-1)


def row_mean(values_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """Return the mean over each row's valid positions [B]; 0 for empty rows."""
    return row_sum(values_BT, valid_BT) / valid_BT.sum(-1).clamp(min=1)
