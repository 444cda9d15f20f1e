"""CURE and ETTRL in one group: when a root has ended, branches start from inside its answers."""

from __future__ import annotations

from agentrl.algorithms.strategies.plan import FinishedTurn, GroupFacts, Start
from agentrl.algorithms.strategies.strategy import Fork, ForkStrategy
from agentrl.algorithms.strategies.words import word_tokens


class ForkPlan:
    """Follows a `ForkStrategy` in one group.

    The response of a root is all that it sampled, turn after turn; a fork is at one of its tokens,
    with the environment as it was in that turn.  Roots do not wait for each other: each is forked
    as soon as it has ended, with draws of its own.

    Args:
        strategy: says where to fork.
        facts: of the group.
    """

    forks = True

    def __init__(self, strategy: ForkStrategy, facts: GroupFacts) -> None:
        self.strategy = strategy
        self.facts = facts
        self.rollouts = strategy.rollouts
        self._starts: list[Start] = []
        self._roots: dict[int, list[FinishedTurn]] = {}

    def begin(self) -> list[Start]:
        """Return the roots."""
        return self._started([Start() for _ in range(self.strategy.roots)])

    def observe(self, turn: FinishedTurn) -> list[Start]:
        """Take note of a root's turn; return its branches once it has ended."""
        if turn.row not in self._roots:
            return []
        self._roots[turn.row].append(turn)
        return self._started(self._branches(turn.row)) if turn.ended else []

    def lost(self, row: int, replace: bool) -> list[Start]:
        """Start the row again where it had started; without it, the group is smaller."""
        if replace:
            return self._started([self._starts[row]])
        branches = (self.strategy.rollouts - self.strategy.roots) // self.strategy.roots
        self.rollouts -= 1 + branches if row in self._roots else 1
        return []

    def _started(self, starts: list[Start]) -> list[Start]:
        for start in starts:
            if start.source is None and start.turn == 0:
                self._roots.setdefault(len(self._starts), [])
            self._starts.append(start)
        return starts

    def _branches(self, root: int) -> list[Start]:
        """Return the branches of a root that has ended."""
        turns = self._roots[root]
        entropies = [value for turn in turns for value in turn.entropies]
        ids = [token for turn in turns for token in turn.ids]
        allowed = word_tokens(ids, self.facts.special, self.facts.decode)
        draws = self.facts.draws(root)
        forks = self.strategy.forks([entropies], [allowed], draws.randrange)
        return [self._start(root, fork) for fork in forks for _ in range(fork.count)]

    def _start(self, root: int, fork: Fork) -> Start:
        """Turn a place in the response into a turn and a token of its answer."""
        left = fork.position
        for turn in self._roots[root]:
            if left < len(turn.ids):
                return Start(root, turn.turn, left, trained=False)
            left -= len(turn.ids)
        raise IndexError(f"position {fork.position} is beyond the response of row {root}")
