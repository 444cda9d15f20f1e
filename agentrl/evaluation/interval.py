"""Confidence intervals of success rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z_95 = 1.959964
"""97.5 % quantile of the normal distribution."""

METHOD = "95 % Wilson interval over tasks; several episodes of a task count as one cluster"
"""What the intervals in tables are."""


def wilson_interval(successes: float, trials: float, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion; (0, 1) without trials.

    Args:
        successes: how many trials succeeded; fractions are allowed.
        trials: how many independent trials there were, or their effective number.
        z: normal quantile; the default gives 95 %.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    spread = z * math.sqrt(max(0.0, rate * (1 - rate) / trials + z * z / (4 * trials * trials)))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def effective_trials(means: Sequence[float], episodes: int) -> float:
    """Return how many independent trials the episodes of several tasks are worth.

    Episodes of one task are alike, so they say less than as many episodes of different tasks.  The
    variance of the mean over tasks is estimated from the tasks' own means, and the answer is the
    number of independent trials that would have that variance.  It lies between the number of
    tasks (episodes of a task all end alike) and the number of episodes (a task's episodes differ as
    much as those of different tasks), and is the number of tasks where no variance can be
    estimated: when every episode has the same outcome, or there is one task.

    Source: Korn and Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", Survey Methodology 24, 1998.

    Args:
        means: mean success of each task.
        episodes: episodes of all tasks together.
    """
    tasks = len(means)
    rate = sum(means) / tasks if tasks else 0.0
    if tasks < 2 or rate <= 0.0 or rate >= 1.0:
        return float(tasks)
    spread = sum((mean - rate) ** 2 for mean in means)
    if spread == 0.0:
        return float(episodes)
    variance = spread / (tasks * (tasks - 1))
    return min(float(episodes), max(float(tasks), rate * (1 - rate) / variance))


def success_interval(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the 95 % interval of the mean over tasks of the tasks' mean success.

    With one episode per task it is the Wilson interval over tasks; with several it is Wilson's at
    the effective number of trials (`effective_trials`).

    Args:
        groups: for each task, the success (0 or 1) of its episodes; none is empty.
    """
    means = [sum(group) / len(group) for group in groups]
    if not means:
        return 0.0, 1.0
    trials = effective_trials(means, sum(map(len, groups)))
    return wilson_interval(sum(means) / len(means) * trials, trials)
