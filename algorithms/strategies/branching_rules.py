"""When ARPO and AEPO branch: entropy of a segment, and the chance to branch from its change.

Source: ARPO and AEPO; RUC-NLPIR/ARPO:ARPO/verl_arpo_entropy and AEPO/verl_aepo_entropy,
`vllm_rollout_with_tools.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from agentrl.algorithms.checks import in_range


def segment_entropy(entropies: Sequence[float], vocabulary: int, window: int = 20) -> float:
    """Return the sum of the first `window` token entropies in nats, over ln `vocabulary`.

    It is a sum, not a mean, so it can exceed 1; a segment without tokens gives 0.
    """
    in_range("vocabulary", vocabulary, 2)
    in_range("entropy_window", window, 1)
    return sum(entropies[:window]) / math.log(vocabulary)


def top_entropy(logprobs: Sequence[float]) -> float:
    """Return -sum p ln p over the listed candidates of one token, without renormalising.

    A lower bound of the entropy.  The released engine asks for the 10 most probable candidates
    and appends the sampled token where it is none of them.
    """
    return -sum(math.exp(value) * value for value in logprobs if value > -math.inf)


def initial_rollouts(rollouts: int, root: float, steps: Sequence[float], beta: float = 0.5) -> int:
    """Return AEPO's number of rows that start from the prompt, in 1..`rollouts`.

    m = floor(n sigmoid(beta (H_root - mean H_step))) + 1: the more certain the policy is while it
    uses tools, compared with the question itself, the fewer rows are left for branches.

    Args:
        rollouts: n, rows of a prompt in the end.
        root: `segment_entropy` of the first tokens after the prompt.
        steps: `segment_entropy` of every segment of one trial row; empty counts as `root`.
        beta: slope; 0.5 in the released code.

    Source: AEPO, entropy pre-monitoring; `_calculate_initial_rollouts_dynamical`.  The mean takes
    in the first segment, as the code does; the paper takes the segments after a tool result.
    """
    in_range("rollouts", rollouts, 1)
    mean = sum(steps) / len(steps) if steps else root
    share = 1 / (1 + math.exp(-beta * (root - mean)))
    return max(1, min(int(rollouts * share) + 1, rollouts))


class BranchingRule(Protocol):
    """Turns a change of entropy into a decision."""

    @property
    def name(self) -> str:
        """The method's name."""
        ...

    def score(self, uniform: float, change: float, consecutive: int) -> float:
        """Return the number in [0, 1] that is compared with a threshold."""
        ...

    def branches(self, score: float) -> bool:
        """Say whether a row with this score branches."""
        ...

    def probability(self, change: float, consecutive: int) -> float:
        """Return how probable a branch is, in closed form."""
        ...


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpoRule:
    """P = clip(branch_probability + entropy_weight * change, 0, 1).

    Attributes:
        branch_probability: chance at unchanged entropy.
        entropy_weight: how much a rise of `segment_entropy` by 1 adds.
    """

    name: ClassVar[str] = "arpo"
    branch_probability: float = 0.5
    entropy_weight: float = 0.2

    def __post_init__(self) -> None:
        in_range("branch_probability", self.branch_probability, 0, 1)
        in_range("entropy_weight", self.entropy_weight, 0)

    def score(self, uniform: float, change: float, consecutive: int) -> float:
        """Return clamp(u - w change); `consecutive` is not read."""
        return _unit(uniform - self.entropy_weight * change)

    def branches(self, score: float) -> bool:
        """Branch at or below the threshold."""
        return score <= self.branch_probability

    def probability(self, change: float, consecutive: int) -> float:
        """Return P."""
        if self.branch_probability == 1:
            return 1.0
        return _unit(self.branch_probability + self.entropy_weight * change)


@dataclass(frozen=True, slots=True, kw_only=True)
class AepoRule:
    """P = clip(1 - branch_probability / p + entropy_weight * change, 0, 1), p = 1 - penalty * c.

    c counts branchings in a row, so that one path does not use up a prompt's whole budget.  The
    paper's product (alpha + gamma change)(1 - P(c)) falls with c as well; this is the released
    form.

    Attributes:
        branch_probability: threshold; at c = 0 and unchanged entropy P is 1 minus it.
        entropy_weight: how much a rise of `segment_entropy` by 1 adds.
        penalty: loss of p per consecutive branching; p is never below 0.
    """

    name: ClassVar[str] = "aepo"
    branch_probability: float = 0.5
    entropy_weight: float = 0.2
    penalty: float = 0.05

    def __post_init__(self) -> None:
        in_range("branch_probability", self.branch_probability, 0, 1)
        in_range("entropy_weight", self.entropy_weight, 0)
        in_range("branch_penalty", self.penalty, 0)

    def score(self, uniform: float, change: float, consecutive: int) -> float:
        """Return clamp((u + w change) p)."""
        return _unit((uniform + self.entropy_weight * change) * self._factor(consecutive))

    def branches(self, score: float) -> bool:
        """Branch at or above the threshold."""
        return score >= self.branch_probability

    def probability(self, change: float, consecutive: int) -> float:
        """Return P."""
        if self.branch_probability == 0:
            return 1.0
        factor = self._factor(consecutive)
        if factor == 0:
            return 0.0
        return _unit(1 - self.branch_probability / factor + self.entropy_weight * change)

    def _factor(self, consecutive: int) -> float:
        return max(0.0, 1 - self.penalty * consecutive)
