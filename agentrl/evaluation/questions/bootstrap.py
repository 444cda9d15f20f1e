"""Intervals of means that are no success rates, such as token F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS = 2000


def bootstrap_interval(
    values: Sequence[float], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over questions; (0, 1) without values.

    Args:
        values: one per question.
        draws: resampled means.
        seed: of the draws; the same values give the same interval.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    if not values:
        return 0.0, 1.0
    generator = np.random.default_rng(seed)
    array = np.asarray(values)
    means = [array[generator.integers(0, len(array), len(array))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
