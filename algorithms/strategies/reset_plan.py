"""DR-PO in one group: rows begin inside a stored episode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrl.algorithms.strategies.plan import FinishedTurn, GroupFacts, Start

if TYPE_CHECKING:
    from agentrl.algorithms.strategies.drpo import Drpo


class ResetPlan:
    """Follows `Drpo` in one group: every row draws how much of the stored episode it takes over.

    A stored episode of several turns is cut between turns; one of a single turn, between tokens.

    Args:
        strategy: the value.
        facts: of the group; without a stored episode every row starts from the prompt.
    """

    forks = False

    def __init__(self, strategy: Drpo, facts: GroupFacts) -> None:
        self.strategy = strategy
        self.facts = facts
        self.rollouts = facts.group_size
        self._starts: list[Start] = []

    def begin(self) -> list[Start]:
        """Return all rows."""
        self._starts = [self._draw(row) for row in range(self.rollouts)]
        return self._starts

    def observe(self, turn: FinishedTurn) -> list[Start]:
        """Return nothing: what a row does changes nothing for the others."""
        return []

    def lost(self, row: int, replace: bool) -> list[Start]:
        """Start the row again where it had started; without it, the group is one smaller."""
        if not replace:
            self.rollouts -= 1
            return []
        self._starts.append(self._starts[row])
        return [self._starts[row]]

    def _draw(self, row: int) -> Start:
        stored = self.facts.stored
        if not stored:
            return Start()
        draws = self.facts.draws(row)
        units = len(stored) if len(stored) > 1 else len(stored[0])
        length = self.strategy.rollin_length(units, draws.random, draws.randrange)
        if not length:
            return Start()
        turn, token = (length, 0) if len(stored) > 1 else (0, length)
        return Start(turn=turn, token=token, given=stored)
