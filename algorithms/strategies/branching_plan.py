"""ARPO and AEPO in one group whose rows do not wait for each other.

The released scheduler goes through a batch in rounds, in each of which every active row samples
one segment.  Here a decision is made as soon as its segment is known.  A *round* of the group ends
when a row reports that has reported in it already, or was started in it; if all rows go in step,
these are the released rounds.  The number of consecutive branchings changes with rounds only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agentrl.algorithms.strategies.branch_state import BranchState, Decision, Round, Segment
from agentrl.algorithms.strategies.branching_rules import initial_rollouts, segment_entropy
from agentrl.algorithms.strategies.plan import FinishedTurn, GroupFacts, Start

if TYPE_CHECKING:
    from agentrl.algorithms.strategies.branching import Branching


class BranchingPlan:
    """Follows `Branching` in one group.

    With `Branching.monitor` a first row measures the entropy before others start; it stays a row
    like any other (the released code discards it).

    Args:
        strategy: the value.
        facts: of the group.
    """

    forks = True

    def __init__(self, strategy: Branching, facts: GroupFacts) -> None:
        self.strategy = strategy
        self.facts = facts
        self.rollouts = strategy.rollouts
        self._monitored: list[float] | None = [] if strategy.monitor else None
        first = strategy.start(1, [1] if strategy.monitor else None)
        self._round = Round(first, not strategy.forks_before)
        self._reported: set[int] = set()
        self._turns: dict[int, int] = {}

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The draws of this round, in their order."""
        return tuple(self._round.decisions)

    @property
    def state(self) -> BranchState:
        """All rows so far, and the counters at the start of this round."""
        return BranchState(tuple(self._round.rows), self._round.consecutive)

    def begin(self) -> list[Start]:
        """Return the rows that start from the prompt."""
        return [Start() for _ in self._round.rows]

    def observe(self, turn: FinishedTurn) -> list[Start]:
        """Decide whether the row branches, and what a group without active rows starts."""
        if turn.row in self._reported or turn.row >= self._round.known:
            self._next_round()
        self._reported.add(turn.row)
        entropy = segment_entropy(turn.entropies, self.facts.vocabulary)
        segment = Segment(turn.row, entropy, ends=turn.ended)
        self._turns[turn.row] = turn.turn
        known = len(self._round.rows)
        if self._monitored is not None:
            self._monitor(segment)
        else:
            draws = self.facts.draws(turn.row, turn.turn)
            self.strategy.serve(self._round, [segment], draws.random)
        return self._starts(known)

    def lost(self, row: int, replace: bool) -> list[Start]:
        """Free the row's place; without a replacement the group is one smaller."""
        known = len(self._round.rows)
        prompt = self._round.lose(row)
        if not replace:
            self._resize(self.rollouts - 1)
        if self._monitored is not None:
            self._monitored = []
            self._round.start_fresh(prompt)
        else:
            self.strategy.top_up_idle(self._round, [prompt])
        return self._starts(known)

    def _next_round(self) -> None:
        step = self._round.finish(per_path=self.strategy.counter == "path", alone=True)
        self._round = Round(step.state, self._round.before)
        self._reported.clear()

    def _monitor(self, segment: Segment) -> None:
        """Collect the entropies of the first row; when it ends, start the others from the prompt.

        Source: AEPO, entropy pre-monitoring.
        """
        assert self._monitored is not None
        self._round.report(segment)
        self._monitored.append(segment.entropy)
        if not segment.ends:
            return
        measured, self._monitored = self._monitored, None
        wanted = initial_rollouts(self.rollouts, measured[0], measured, self.strategy.beta)
        for _ in range(wanted - self._round.count(0)):
            self._round.start_fresh(0)

    def _resize(self, rollouts: int) -> None:
        self.rollouts = max(rollouts, 1)
        self.strategy = replace(self.strategy, rollouts=self.rollouts)

    def _starts(self, known: int) -> list[Start]:
        """Return where the rows from number `known` on start."""
        starts = []
        for row in self._round.rows[known:]:
            if row.source is None:
                starts.append(Start())
                continue
            last = self._turns[row.source]
            starts.append(Start(row.source, last if self.strategy.forks_before else last + 1))
        return starts
