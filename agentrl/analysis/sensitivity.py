"""What a small change of the reward does to the best answers of groups of episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentrl.analysis.policy_cliff import TIE, bandit_diagnostic, best
from agentrl.analysis.source import Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is done to rewards, and how policies are made of them.

    Attributes:
        noise: rewards of clusters change by up to this, uniformly; without meaning for groups
            that have lost a component of their reward.
        draws: noise vectors per group.
        seed: of the noise.
        alpha: temperature of the Boltzmann policies softmax(R / alpha).
        tolerance: rewards that differ by no more are equal.
    """

    noise: float = 0.05
    draws: int = 20
    seed: int = 0
    alpha: float = 0.1
    tolerance: float = TIE


@dataclass(frozen=True, slots=True)
class Group:
    """A group in clusters of equal meaning, in order of first appearance.

    Attributes:
        rewards: mean reward of each cluster [N].
        dropped: the same without a component of the reward; None where noise is added instead.
    """

    rewards: Numbers
    dropped: Numbers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cliff:
    """Means over the groups of a step, and over noise vectors.

    Attributes:
        groups: groups with an episode that counts.
        clusters: mean number of clusters.
        uniform: share of groups whose clusters all have the same reward; they teach nothing.
        degenerate: share of groups in which two or more clusters share the top reward.
        contested: the same among the groups that are not uniform; NaN without any.
        flips: share of groups whose first best cluster is another one after the change.
        contested_flips: the same among the groups that are not uniform; NaN without any.
        tv_hard: total variation between greedy policies before and after.
        tv_soft: between Boltzmann policies.
        bound: what the theorem allows `tv_soft` to be, at most 1.
    """

    groups: int
    clusters: float
    uniform: float
    degenerate: float
    contested: float
    flips: float
    contested_flips: float
    tv_hard: float
    tv_soft: float
    bound: float


def sensitivity(groups: Sequence[Group], change: Change, *, stream: int = 0) -> Cliff:
    """Return what a change of the rewards does to the best answers of groups.

    Args:
        groups: at least one.
        change: what is done to the rewards, and how policies are made of them.
        stream: further seed, so that steps have noise of their own.
    """
    rng = np.random.default_rng([change.seed, stream])
    sums, count = np.zeros(3), 0
    flips = np.zeros(len(groups))
    for index, group in enumerate(groups):
        for changed in _changes(group, change, rng):
            found = bandit_diagnostic(
                group.rewards, changed, alpha=change.alpha, tolerance=change.tolerance
            )
            sums += [found.tv_hard, found.tv_soft, min(found.soft_bound, 1.0)]
            flipped = _first_best(group.rewards, change) != _first_best(changed, change)
            flips[index] += flipped
            count += 1
    tied = [int(best(group.rewards, change.tolerance).sum()) for group in groups]
    flat = [number == len(group.rewards) for number, group in zip(tied, groups, strict=True)]
    degenerate = np.array([number > 1 for number in tied])
    contested = ~np.array(flat)
    flips /= 1 if groups[0].dropped is not None else change.draws
    return Cliff(
        groups=len(groups),
        clusters=sum(len(group.rewards) for group in groups) / len(groups),
        uniform=sum(flat) / len(groups),
        degenerate=float(degenerate.mean()),
        contested=_mean(degenerate[contested]),
        flips=float(flips.mean()),
        contested_flips=_mean(flips[contested]),
        tv_hard=float(sums[0]) / count,
        tv_soft=float(sums[1]) / count,
        bound=float(sums[2]) / count,
    )


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _first_best(rewards: Numbers, change: Change) -> int:
    return int(np.argmax(best(rewards, change.tolerance)))


def _changes(group: Group, change: Change, rng: np.random.Generator) -> Iterator[Numbers]:
    if group.dropped is not None:
        yield group.dropped
        return
    for _ in range(change.draws):
        yield group.rewards + rng.uniform(-change.noise, change.noise, len(group.rewards))
