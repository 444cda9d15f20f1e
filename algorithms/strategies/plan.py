"""A strategy at work in one group: what it is told of finished turns, and what it starts.

Rows are numbered in the order in which a plan asked for them.  The rollout that follows a plan is
`agentrl.rollout`; its protocols have the same shape.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agentrl.algorithms.strategies.strategy import RolloutStrategy


@dataclass(frozen=True, slots=True)
class Start:
    """A row to start.

    Attributes:
        source: row whose beginning is shared; None starts from the prompt.
        turn: first turn that is sampled anew, wholly or from `token` on.
        token: tokens of that turn's answer that are shared, too.
        trained: the row is trained on what it shares.
        given: answers that are acted out first: `turn` whole ones and `token` tokens of the next;
            only without a `source`.
    """

    source: int | None = None
    turn: int = 0
    token: int = 0
    trained: bool = True
    given: Sequence[Sequence[int]] = ()


class FinishedTurn(Protocol):
    """A turn that is over, the environment's answer to it included."""

    @property
    def row(self) -> int:
        """Whose turn it was."""
        ...

    @property
    def turn(self) -> int:
        """Number of the turn, from 0."""
        ...

    @property
    def ids(self) -> Sequence[int]:
        """What was sampled in it."""
        ...

    @property
    def entropies(self) -> Sequence[float]:
        """Of these tokens, in nats."""
        ...

    @property
    def ended(self) -> bool:
        """The episode is over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """What a plan may know of its group.

    Attributes:
        group_size: rows that the run asks for.
        seed: of the group's draws.
        vocabulary: tokens of the model.
        decode: gives a token's text.
        special: ids that are never text.
        stored: the answers of an earlier episode of the task, as token ids; None without one.
    """

    group_size: int
    seed: int
    vocabulary: int
    decode: Callable[[int], str]
    special: frozenset[int] = frozenset()
    stored: Sequence[Sequence[int]] | None = None

    def draws(self, *place: object) -> random.Random:
        """Return the draws of a place, the same whatever else is drawn."""
        return random.Random(":".join(map(str, (self.seed, *place))))


class Plan(Protocol):
    """Decides which rows a group has."""

    @property
    def rollouts(self) -> int:
        """Rows wanted in the end."""
        ...

    @property
    def forks(self) -> bool:
        """Whether rows may have a `source`."""
        ...

    def begin(self) -> Sequence[Start]:
        """Return the first rows."""
        ...

    def observe(self, turn: FinishedTurn) -> Sequence[Start]:
        """Take note of a finished turn, and return what to start now."""
        ...

    def lost(self, row: int, replace: bool) -> Sequence[Start]:
        """Take note of a row that failed; return another in its place, if one may be started."""
        ...


@runtime_checkable
class PlannedStrategy(RolloutStrategy, Protocol):
    """A strategy that decides which rows a group has."""

    def plan(self, facts: GroupFacts) -> Plan:
        """Return the plan of one group."""
        ...
