"""Over-optimisation: what is optimised keeps rising while what matters falls.

With d the square root of the divergence from the start, R(d) = R0 + d (alpha - beta d) rises, peaks
at d = alpha / (2 beta) and falls.

Source: Gao et al., Scaling Laws for Reward Model Overoptimization, arXiv 2210.10760, the form for
best-of-n; there R0 = 0, because rewards are relative to the start.  For RL it has
d (alpha - beta log d), as has arXiv 2406.02900 for direct alignment; that form is infinitely steep
at 0, where our runs begin.  R0 is fitted here, because success at the start is a measurement like
the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agentrl.analysis.source import Numbers
from agentrl.errors import DataError

NEEDED = 4
"""Fewest points of a fit with three numbers."""


@dataclass(frozen=True, slots=True)
class RewardCurve:
    """R(d) = start + d (alpha - beta d).

    Attributes:
        start: reward at distance 0.
        alpha: first slope.
        beta: how fast the slope falls, twice per unit of distance.
    """

    start: float
    alpha: float
    beta: float

    @property
    def peak(self) -> float:
        """Distance of the highest reward.

        Infinite where the curve does not bend down, 0 where it falls from the start.
        """
        if self.beta <= 0:
            return math.inf
        return max(self.alpha / (2 * self.beta), 0.0)

    def at(self, distance: ArrayLike) -> Numbers:
        """Return the reward at a distance."""
        d = np.asarray(distance, dtype=float)
        return np.asarray(self.start + d * (self.alpha - self.beta * d))


def fit_reward_curve(distance: ArrayLike, reward: ArrayLike) -> RewardCurve:
    """Fit the three numbers by least squares.

    Args:
        distance: square root of the divergence, at least 0 [N].
        reward: at the same points [N].

    Raises:
        DataError: there are fewer than three different distances.
    """
    d, r = np.asarray(distance, dtype=float), np.asarray(reward, dtype=float)
    if len(np.unique(d)) < 3:
        raise DataError("The curve cannot be fitted: it needs at least three different distances.")
    # Distances may be tiny: the fit is done in units of the largest.
    unit = float(np.abs(d).max())
    x = d / unit
    columns = np.stack([np.ones_like(x), x, -(x**2)], axis=1)
    start, alpha, beta = np.linalg.lstsq(columns, r, rcond=None)[0]
    return RewardCurve(float(start), float(alpha) / unit, float(beta) / unit**2)


def path_length(divergences: ArrayLike) -> Numbers:
    """Return the running sum of sqrt(KL) over steps [N]; what is below 0 by chance counts as 0.

    It bounds the distance from the start from above: steps in opposite directions add up.
    """
    return np.asarray(np.cumsum(np.sqrt(np.maximum(np.asarray(divergences, dtype=float), 0.0))))


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """Where the rule would have stopped.

    Attributes:
        index: the point at which it fires.
        best: the point with the best held-out value up to there.
    """

    index: int
    best: int


def early_stop(
    proxy: Sequence[float], heldout: Sequence[float], *, patience: int = 4, margin: float = 0.02
) -> EarlyStop | None:
    """Return the first point at which the proxy rises while the held-out value falls.

    It fires where, over the last `patience` points, the least-squares slope of the proxy is
    positive and that of the held-out value negative, and the held-out value is at least `margin`
    below its best so far.

    Args:
        proxy: what is optimised, at each evaluation [N].
        heldout: what matters [N].
        patience: points looked at, at least 2.
        margin: least fall that is not chance.

    Returns:
        None where it never fires.
    """
    for last in range(patience - 1, len(heldout)):
        window = slice(last - patience + 1, last + 1)
        best = int(np.argmax(heldout[: last + 1]))
        fallen = heldout[best] - heldout[last] >= margin
        if fallen and slope(proxy[window]) > 0 > slope(heldout[window]):
            return EarlyStop(last, best)
    return None


def slope(values: Sequence[float]) -> float:
    """Return the least-squares slope of values at 0, 1, 2, ..."""
    x = np.arange(len(values)) - (len(values) - 1) / 2
    return float(x @ np.asarray(values, dtype=float) / (x @ x))
