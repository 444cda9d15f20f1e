"""Branching at fixed turns in one group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrl.algorithms.strategies.plan import FinishedTurn, GroupFacts, Start

if TYPE_CHECKING:
    from agentrl.algorithms.strategies.fixed import FixedBranching


class FixedPlan:
    """Follows `FixedBranching` in one group.

    Where paths have ended too early for the tree to fill the group, further roots fill it.

    Args:
        strategy: the value.
        facts: of the group.
    """

    forks = True

    def __init__(self, strategy: FixedBranching, facts: GroupFacts) -> None:
        self.strategy = strategy
        self.rollouts = strategy.rollouts
        self._started = 0
        self._active = 0

    def begin(self) -> list[Start]:
        """Return the roots."""
        return self._start([Start() for _ in range(self.strategy.roots)])

    def observe(self, turn: FinishedTurn) -> list[Start]:
        """Branch after the chosen turns, and fill the group once no path is left."""
        if not turn.ended:
            room = self.rollouts - self._started
            count = min(self.strategy.branches(turn.turn), room)
            return self._start([Start(turn.row, turn.turn + 1) for _ in range(count)])
        self._active -= 1
        return self._fill()

    def lost(self, row: int, replace: bool) -> list[Start]:
        """Free the row's place; without a replacement the group is one smaller."""
        self._active -= 1
        self._started -= 1
        self.rollouts -= not replace
        return self._fill()

    def _fill(self) -> list[Start]:
        """Return as many roots as a whole tree for each needs, if nothing is active any more."""
        if self._active:
            return []
        missing = self.rollouts - self._started
        roots = -(-missing // self.strategy.leaves)
        return self._start([Start() for _ in range(roots)])

    def _start(self, starts: list[Start]) -> list[Start]:
        self._started += len(starts)
        self._active += len(starts)
        return starts
