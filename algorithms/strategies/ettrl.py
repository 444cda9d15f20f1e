"""ETMR: trees that fork at the tokens of highest entropy, whose leaves vote.

Source: ETTRL (arXiv 2508.11356).  No code was released; what the paper leaves open is said below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from agentrl.algorithms.checks import whole
from agentrl.algorithms.strategies.fork_plan import ForkPlan
from agentrl.algorithms.strategies.plan import GroupFacts, Plan
from agentrl.algorithms.strategies.strategy import Below, Fork, Need, by_entropy, trees_of
from agentrl.errors import ConfigError


def fork_positions(
    entropies: Sequence[float], count: int, allowed: Sequence[bool] | None = None
) -> tuple[int, ...]:
    """Return the `count` allowed positions of highest entropy, in ascending order.

    Fewer where fewer are allowed.
    """
    fit = [at for at in by_entropy(entropies) if allowed is None or allowed[at]]
    return tuple(sorted(fit[:count]))


def token_ratio(forks: int, branches: int) -> float:
    """Return the tokens of a tree over those of as many independent rows, for forks anywhere.

    A branch samples half a row on average: (1 + N B / 2) / (1 + N B).
    """
    leaves = forks * branches
    return (1 + 0.5 * leaves) / (1 + leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ettrl:
    """Fork every root at its most uncertain tokens.

    Our choices: the token at the fork is sampled anew; a fork is never at the first token; a root
    with too few allowed positions has fewer branches.

    Attributes:
        roots: M, trees per prompt.
        fork_count: N, forks of a tree.
        branches: B, rows from each fork.
    """

    name: ClassVar[str] = "ettrl"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY, Need.TOKEN_FORK})
    roots: int = 12
    fork_count: int = 2
    branches: int = 2

    def __post_init__(self) -> None:
        whole("roots", self.roots, 1)
        whole("fork_count", self.fork_count, 1)
        whole("branches", self.branches, 1)

    @property
    def rollouts(self) -> int:
        """Rows of a prompt in the end, all of which vote."""
        return self.roots * (1 + self.fork_count * self.branches)

    def for_budget(self, group_size: int | None) -> Ettrl:
        """Return the strategy with as many roots as fill the group; see `SizedStrategy`."""
        if group_size is None:
            return self
        shape = f"a root, and {self.branches} `branches` at each of {self.fork_count} forks"
        leaves = 1 + self.fork_count * self.branches
        return replace(self, roots=trees_of(group_size, leaves, shape))

    def plan(self, facts: GroupFacts) -> Plan:
        """Return the plan of one group."""
        return ForkPlan(self, facts)

    def forks(
        self, entropies: Sequence[Sequence[float]], allowed: Sequence[Sequence[bool]], below: Below
    ) -> tuple[Fork, ...]:
        """Return the forks of all roots; nothing is drawn.  See `ForkStrategy.forks`."""
        if len(entropies) != len(allowed):
            raise ConfigError(f"{len(entropies)} roots, but {len(allowed)} lists of positions.")
        return tuple(
            Fork(root, position, self.branches)
            for root, (values, fit) in enumerate(zip(entropies, allowed, strict=True))
            for position in fork_positions(values, self.fork_count, (False, *fit[1:]))
        )
