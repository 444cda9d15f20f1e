"""Branching at fixed turns: the full tree of a search that spends its budget evenly.

Our own, deterministic counterpart of the tree searches of Tree-GRPO (Tree Search for LLM Agent
Reinforcement Learning, arXiv 2509.21240), whose nodes are whole turns as well, but which expands
nodes at random, and of TreeRPO (arXiv 2506.05183), whose trees are full as well, but of fixed
lengths of text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from agentrl.algorithms.checks import whole
from agentrl.algorithms.strategies.fixed_plan import FixedPlan
from agentrl.algorithms.strategies.plan import GroupFacts, Plan
from agentrl.algorithms.strategies.strategy import Need, trees_of
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBranching:
    """After each of the chosen turns every live path becomes `children` paths, itself included.

    Paths part behind the observation that answers the turn, so what they share ends with it.  A
    path that has ended does not branch; further roots then fill the group.

    Attributes:
        turns: numbers of the turns from 0, strictly ascending.
        children: paths that every live path becomes.
        roots: paths that start from the prompt.
    """

    name: ClassVar[str] = "fixed"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TURN_FORK})
    turns: tuple[int, ...] = (0, 1)
    children: int = 2
    roots: int = 4

    def __post_init__(self) -> None:
        self._check_turns()
        whole("children", self.children, 2)
        whole("roots", self.roots, 1)

    @property
    def leaves(self) -> int:
        """Paths of a tree in the end."""
        return int(self.children ** len(self.turns))

    @property
    def rollouts(self) -> int:
        """Paths of a prompt in the end."""
        return self.roots * self.leaves

    def for_budget(self, group_size: int | None) -> FixedBranching:
        """Return the strategy with as many roots as fill the group; see `SizedStrategy`."""
        if group_size is None:
            return self
        shape = f"{self.children} `children` after each of {len(self.turns)} `turns`"
        return replace(self, roots=trees_of(group_size, self.leaves, shape))

    def plan(self, facts: GroupFacts) -> Plan:
        """Return the plan of one group."""
        return FixedPlan(self, facts)

    def _check_turns(self) -> None:
        listed = isinstance(self.turns, tuple)
        if not listed or not self.turns or any(low >= high for low, high in pairwise(self.turns)):
            raise ConfigError(
                f"`turns` is {list(self.turns) if listed else self.turns!r}; it must list at least "
                "one turn, in strictly ascending order, for example [0, 2]."
            )
        for turn in self.turns:
            whole("turns", turn, 0)

    def branches(self, turn: int) -> int:
        """Return how many new paths start from a live one that has just finished `turn`."""
        return self.children - 1 if turn in self.turns else 0
