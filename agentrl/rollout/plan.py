"""The seam between a rollout and its strategy: which episodes a group has, and where they begin.

A *plan* decides for one group.  It is told of every finished turn and answers with episodes to
start: from the prompt, from any turn or token of another episode, or after turns that are given.
It holds the decisions only; sampling, environments and trees are the rollout's.  Episodes are rows
0, 1, ... in the order in which the plan asked for them.

Plans of the published strategies lie beside their decisions, in `agentrl.algorithms.strategies`,
and fit these protocols by shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentrl.types import Task


class Start(Protocol):
    """An episode to start."""

    @property
    def source(self) -> int | None:
        """Row whose beginning is shared; None starts from the prompt."""

    @property
    def turn(self) -> int:
        """First turn that is sampled anew, wholly or from `token` on."""

    @property
    def token(self) -> int:
        """Tokens of that turn's answer that are shared, too."""

    @property
    def trained(self) -> bool:
        """Whether the new row is trained on the tokens it shares."""

    @property
    def given(self) -> Sequence[Sequence[int]]:
        """Answers, as token ids, that are acted out first and are not trained.

        `turn` whole ones, and `token` tokens of the next; only without a `source`.
        """


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that is over, the environment's answer to it included.

    Attributes:
        row: the episode's row.
        turn: number of the turn, from 0.
        ids: what was sampled in it, without shared or given tokens.
        entropies: of these tokens, in nats; empty where the engine measures none.
        ended: the episode is over.  The last turn can be empty: where the next prompt did not fit.
    """

    row: int
    turn: int
    ids: Sequence[int]
    entropies: Sequence[float]
    ended: bool


class Plan(Protocol):
    """Decides which episodes one group has."""

    @property
    def rollouts(self) -> int:
        """Episodes wanted in the end; once so many have ended, the others are cancelled."""

    @property
    def forks(self) -> bool:
        """Whether episodes may have a `source`; their turns are then remembered."""

    def begin(self) -> Sequence[Start]:
        """Return the first episodes."""

    def observe(self, turn: Turn) -> Sequence[Start]:
        """Take note of a finished turn, and return what to start now."""

    def lost(self, row: int, replace: bool) -> Sequence[Start]:
        """Take note of an episode that failed, and return what to start in its place.

        Args:
            row: the episode's row; it takes no part any more.
            replace: whether another may be started for it; otherwise the group is one smaller.
        """


PlanOf = Callable[[str, Task], Plan]
"""Makes the plan of a group from its tree's id and its task."""


@dataclass(frozen=True, slots=True)
class FromPrompt:
    """An episode that starts from the prompt."""

    source: int | None = None
    turn: int = 0
    token: int = 0
    trained: bool = True
    given: Sequence[Sequence[int]] = ()


class Independent:
    """The plan of independent episodes.

    Args:
        count: episodes wanted.
        extra: further ones that are started; the first `count` to end are kept.
    """

    forks = False

    def __init__(self, count: int, extra: int = 0) -> None:
        self.rollouts = count
        self._open = count + extra

    def begin(self) -> list[Start]:
        """Return all episodes."""
        return [FromPrompt()] * self._open

    def observe(self, turn: Turn) -> list[Start]:
        """Return nothing: what an episode does changes nothing for the others."""
        return []

    def lost(self, row: int, replace: bool) -> list[Start]:
        """Return another episode, unless the extra ones can stand in for it."""
        self._open -= 1
        if not replace or self._open >= self.rollouts:
            return []
        self._open += 1
        return [FromPrompt()]
