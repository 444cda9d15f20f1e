"""What every rollout strategy tells a scheduler, and the random draws it is given.

A strategy only decides: from entropies and counts it says where to fork and how many rows to
start.  It holds no state, samples nothing and needs no torch, so that one object serves tests,
a deterministic scheduler and a free-running one.  Draws come from outside, seeded by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self, TypeVar, runtime_checkable

from agentrl.errors import ConfigError

Uniform = Callable[[], float]
"""A draw from [0, 1), for example `random.Random(seed).random`."""

Below = Callable[[int], int]
"""A draw of an integer in [0, n), for example `random.Random(seed).randrange`."""


class Need(StrEnum):
    """What a scheduler must provide before it can follow a strategy."""

    ENTROPY = "entropy"
    """The entropy of the sampling distribution at every sampled token."""
    TOKEN_FORK = "token_fork"
    """Rows that share an episode up to a token, with the environment as it was then."""
    TURN_FORK = "turn_fork"
    """Rows that share an episode up to the end of a turn, with the environment as it was then."""
    PREFIX = "prefix"
    """Rows that begin with tokens or turns taken from elsewhere, which are not trained."""
    TEMPERATURE = "temperature"
    """A temperature chosen at every token."""


@runtime_checkable
class RolloutStrategy(Protocol):
    """A frozen value that says how a prompt's rows come about.

    One that also decides how many rows a prompt gets is a `SizedStrategy`.
    """

    @property
    def name(self) -> str:
        """The name in settings and records."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """What the scheduler must provide."""
        ...


@runtime_checkable
class SizedStrategy(RolloutStrategy, Protocol):
    """Decides how many rows a prompt gets."""

    @property
    def rollouts(self) -> int:
        """Rows of a prompt in the end."""
        ...

    def for_budget(self, group_size: int | None) -> Self:
        """Return the strategy with `rollouts` equal to the run's group size; None changes nothing.

        Raises:
            ConfigError: its trees do not add up to that number.
        """
        ...


Strategy = TypeVar("Strategy")


def for_budget(strategy: Strategy, group_size: int | None) -> Strategy:
    """Return `strategy.for_budget(group_size)`, or the strategy where it has no count of its own.

    Raises:
        ConfigError: its trees do not add up to `group_size` rows.
    """
    return strategy.for_budget(group_size) if isinstance(strategy, SizedStrategy) else strategy


def trees_of(group_size: int, leaves: int, shape: str) -> int:
    """Return how many trees make up a group.

    Args:
        group_size: rows of a prompt, the setting `rollout.group_size`.
        leaves: rows of a tree.
        shape: what makes a tree that large, for the message.

    Raises:
        ConfigError: `group_size` is no multiple of `leaves`.
    """
    trees, left = divmod(group_size, leaves)
    if left:
        below = f"{trees * leaves} or " if trees else ""
        raise ConfigError(
            f"`rollout.group_size` is {group_size}, but a tree has {leaves} episodes ({shape}), so "
            f"it must be a multiple of {leaves}; the nearest: {below}{(trees + 1) * leaves}."
        )
    return trees


@dataclass(frozen=True, slots=True)
class Fork:
    """Rows that continue a prefix of a finished row.

    The token at `position` is sampled anew.  The prefix is no part of the new rows' mask.

    Attributes:
        source: row that is forked.
        position: tokens of the response they share; 0 starts from the prompt.
        count: how many rows to start.
    """

    source: int
    position: int
    count: int


@runtime_checkable
class ForkStrategy(SizedStrategy, Protocol):
    """Samples whole roots first, then continues prefixes of them."""

    @property
    def roots(self) -> int:
        """Rows that start from the prompt; `rollouts` includes them."""
        ...

    def forks(
        self, entropies: Sequence[Sequence[float]], allowed: Sequence[Sequence[bool]], below: Below
    ) -> tuple[Fork, ...]:
        """Return where to fork the finished roots.

        Args:
            entropies: by root and position of its response, in nats.
            allowed: positions where a fork may be; never those of others' tokens.
            below: draws, in the order of the roots.
        """
        ...


def by_entropy(entropies: Sequence[float]) -> list[int]:
    """Return all positions, highest entropy first, earlier ones first where equal."""
    return sorted(range(len(entropies)), key=lambda position: -entropies[position])
