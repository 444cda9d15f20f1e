"""The entropy-performance law R = -a exp(H) + b: what is left to gain before entropy is used up.

H is the mean token entropy of the policy on training rollouts in nats, R the validation success at
the same step.  At H = 0 the law ends at R = b - a, its ceiling.

Source: PRIME-RL/Entropy-Mechanism-of-RL, arXiv 2505.22617 (least squares in exp(H); no fitting code
was released).  The authors state it for training without entropy bonus and without KL term, and say
that it fails for off-policy data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agentrl.analysis.source import Numbers
from agentrl.errors import DataError

NEEDED = 5
"""Fewest points of a fit."""
SPREAD = 0.05
"""Least range of entropy in nats over the early window; below it the slope is noise."""
ALARM = 3.0
"""A later point alarms where it is off by more than this many early errors."""


@dataclass(frozen=True, slots=True)
class EntropyLaw:
    """The two numbers of the law.

    Attributes:
        a: loss of performance per unit of exp(H).
        b: intercept.
    """

    a: float
    b: float

    @property
    def ceiling(self) -> float:
        """Performance at zero entropy, b - a."""
        return self.b - self.a

    def predict(self, entropy: ArrayLike) -> Numbers:
        """Return -a exp(H) + b."""
        return np.asarray(self.b - self.a * np.exp(np.asarray(entropy, dtype=float)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyLawFit:
    """The law fitted to the start of a run and to all of it.

    Attributes:
        window: number of points of the early fit.
        early: fitted to these.
        full: fitted to all points.
        r2_early: share of the early variance that the early fit explains; NaN without variance.
        r2_full: the same of the full fit on all points.
        rmse_early: root mean squared error of the early fit on its own points.
        rmse_future: of the early fit on the later points; NaN without any.
        drift: indices of later points off by more than 3 times `rmse_early`.
    """

    window: int
    early: EntropyLaw
    full: EntropyLaw
    r2_early: float
    r2_full: float
    rmse_early: float
    rmse_future: float
    drift: tuple[int, ...]


def fit_entropy_law(entropy: ArrayLike, performance: ArrayLike) -> EntropyLaw:
    """Fit a and b by least squares on x = exp(H).

    Raises:
        DataError: there are fewer than two different entropies.
    """
    x, y = np.exp(np.asarray(entropy, dtype=float)), np.asarray(performance, dtype=float)
    centred = x - x.mean() if len(x) else x
    if len(x) < 2 or not np.any(centred):
        raise DataError("The law cannot be fitted: it needs at least two different entropies.")
    a = -float(centred @ (y - y.mean()) / (centred @ centred))
    return EntropyLaw(a, float(y.mean()) + a * float(x.mean()))


def early_and_full(
    entropy: ArrayLike, performance: ArrayLike, fraction: float = 0.15
) -> EntropyLawFit:
    """Fit the law to the first points, and see how well it predicts the others.

    Args:
        entropy: mean token entropy at each point [N], in order of steps.
        performance: R at the same points [N].
        fraction: share of the points in the early window; at least 5 are taken.

    Raises:
        DataError: the entropies do not differ.
    """
    h, r = np.asarray(entropy, dtype=float), np.asarray(performance, dtype=float)
    window = min(max(NEEDED, int(fraction * len(h))), len(h))
    early, full = fit_entropy_law(h[:window], r[:window]), fit_entropy_law(h, r)
    error = r - early.predict(h)
    rmse = rms(error[:window])
    # Rounding must not look like drift where the early points lie on the curve exactly.
    limit = max(ALARM * rmse, 1e-9)
    return EntropyLawFit(
        window=window,
        early=early,
        full=full,
        r2_early=_r2(r[:window], error[:window]),
        r2_full=_r2(r, r - full.predict(h)),
        rmse_early=rmse,
        rmse_future=rms(error[window:]),
        drift=tuple(int(i) for i in range(window, len(h)) if abs(error[i]) > limit),
    )


def rms(error: Numbers) -> float:
    """Return the root mean square; NaN of nothing."""
    return math.sqrt(float(error @ error) / len(error)) if len(error) else math.nan


def _r2(values: Numbers, error: Numbers) -> float:
    centred = values - values.mean()
    total = float(centred @ centred)
    return 1 - float(error @ error) / total if total > 0 else math.nan
