"""DR-PO: start rows inside a reference answer, or inside a stored episode.

Source: Dataset Reset Policy Optimization (arXiv 2404.08495);
Cornell-RL/tril:src/tril/utils/logit_processors.py, `RollinProcessor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from agentrl.algorithms.checks import in_range
from agentrl.algorithms.strategies.plan import GroupFacts, Plan
from agentrl.algorithms.strategies.reset_plan import ResetPlan
from agentrl.algorithms.strategies.strategy import Below, Need, Uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class Drpo:
    """Take the first h units of a reference, and sample the rest.

    A unit is a token of a reference answer, or a turn of a stored episode whose first h actions
    are repeated.  What is taken over is not trained.

    Attributes:
        reset_probability: beta, chance to take anything over; 1 always does.
        reference: where stored episodes come from: `best`, the best successful one so far of the
            task in this run; `expert`, the environment's own expert; or a rollout file (`.jsonl`).
            A task without one starts from its prompt.
    """

    name: ClassVar[str] = "drpo"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.PREFIX})
    reset_probability: float = 1.0
    reference: str = "best"

    def __post_init__(self) -> None:
        in_range("reset_probability", self.reset_probability, 0, 1)

    def for_budget(self, group_size: int | None) -> Drpo:
        """Return the strategy: it works with any number of rows."""
        return self

    def plan(self, facts: GroupFacts) -> Plan:
        """Return the plan of one group."""
        return ResetPlan(self, facts)

    def rollin_length(self, reference: int, uniform: Uniform, below: Below) -> int:
        """Return h, uniform on 1..reference-1, or 0 without a reset.

        Both draws are made whatever the first gives, so one row's outcome does not shift the
        draws of the next; a reference of fewer than 2 units takes the first draw only.

        Args:
            reference: units of the reference; one at least is always left to sample.
            uniform: decides about the reset.
            below: chooses the length.
        """
        resets = uniform() < self.reset_probability
        if reference < 2:
            return 0
        length = 1 + below(reference - 1)
        return length if resets else 0


def rollin_mask(lengths: Sequence[int], width: int) -> list[list[bool]]:
    """Return, by row and unit, what is taken over; only the rest is trained."""
    return [[unit < length for unit in range(width)] for length in lengths]
