"""Policy cliffs: where a small change of the reward makes the best answer another one.

With several best answers the greedy policy is not continuous in the reward: it jumps.  A Boltzmann
policy softmax(R / alpha) does not: its total variation distance is at most
max|R1 - R2| / (2 alpha (1 - gamma)).

Source: The Policy Cliff, arXiv 2507.20150 (theorems only; neither code nor a metric was released,
so the diagnostic over groups is ours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agentrl.analysis.source import Numbers
from agentrl.errors import ConfigError
from agentrl.tree import Episode, Tree

TIE = 1e-9
"""Rewards that differ by no more are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditDiagnostic:
    """Two reward vectors over the same choices, and the policies they make.

    Attributes:
        gap: best reward less the second best, under the first vector; 0 where two are best,
            infinite with a single choice.
        optimal: number of best choices under the first vector.
        tv_hard: total variation between the greedy policies, uniform over best choices.
        tv_soft: total variation between the Boltzmann policies.
        soft_bound: what the theorem allows `tv_soft` to be.
    """

    gap: float
    optimal: int
    tv_hard: float
    tv_soft: float
    soft_bound: float


def bandit_diagnostic(
    first: ArrayLike,
    second: ArrayLike,
    *,
    alpha: float = 0.1,
    gamma: float = 0.0,
    tolerance: float = TIE,
) -> BanditDiagnostic:
    """Compare the policies of two rewards.

    Args:
        first: reward of each choice [N].
        second: the same after a change [N].
        alpha: temperature of the Boltzmann policies.
        gamma: discount of the theorem; 0 for one decision.
        tolerance: rewards that differ by no more are equal.

    Raises:
        ConfigError: there is no choice, lengths differ, or alpha or gamma is out of range.
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.ndim != 1 or one.shape != other.shape or not len(one):
        raise ConfigError(
            f"Rewards have the shapes {one.shape} and {other.shape}; two vectors of equal length "
            "are needed."
        )
    if not alpha > 0 or not 0 <= gamma < 1:
        raise ConfigError(f"alpha is {alpha}, gamma {gamma}; alpha > 0 and 0 <= gamma < 1 needed.")
    ordered = np.sort(one)[::-1]
    return BanditDiagnostic(
        gap=float(ordered[0] - ordered[1]) if len(one) > 1 else math.inf,
        optimal=int(best(one, tolerance).sum()),
        tv_hard=_variation(_greedy(one, tolerance), _greedy(other, tolerance)),
        tv_soft=_variation(boltzmann(one, alpha), boltzmann(other, alpha)),
        soft_bound=float(np.abs(one - other).max()) / (2 * alpha * (1 - gamma)),
    )


def best(rewards: Numbers, tolerance: float = TIE) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which rewards reach the highest one within `tolerance`, bool [N]."""
    return np.asarray(rewards >= rewards.max() - tolerance)


def boltzmann(rewards: Numbers, alpha: float) -> Numbers:
    """Return softmax(rewards / alpha) [N]."""
    weights = np.exp((rewards - rewards.max()) / alpha)
    return np.asarray(weights / weights.sum())


def _greedy(rewards: Numbers, tolerance: float) -> Numbers:
    chosen = best(rewards, tolerance)
    return np.asarray(chosen / chosen.sum())


def _variation(one: Numbers, other: Numbers) -> float:
    return 0.5 * float(np.abs(one - other).sum())


def answer_key(tree: Tree, episode: Episode) -> tuple[str, ...]:
    """Return what an episode did, equal for episodes that mean the same.

    Where the task is scored against an answer, or the last turn carries one (`info["answer"]`),
    that is the final answer; else it is the sequence of actions.  Turns without an action count
    by their text.
    """
    turns = [node.info for node in tree.model_nodes(episode)]
    said = [_said(turn.get("action"), turn.get("text")) for turn in turns]
    if turns and turns[-1].get("answer") is not None:
        return (_said(turns[-1]["answer"], ""),)
    return tuple(said[-1:] if tree.task.answer is not None else said)


def _said(action: object, text: object) -> str:
    return " ".join(str(text if action is None else action).split())


def clusters(tree: Tree) -> list[list[Episode]]:
    """Return the counted episodes of a group in clusters of equal meaning, first come first."""
    found: dict[tuple[str, ...], list[Episode]] = {}
    for episode in tree.counted():
        found.setdefault(answer_key(tree, episode), []).append(episode)
    return list(found.values())


def mean_rewards(groups: Sequence[Sequence[float]]) -> Numbers:
    """Return the mean reward of each cluster [N]."""
    return np.array([sum(group) / len(group) for group in groups])
