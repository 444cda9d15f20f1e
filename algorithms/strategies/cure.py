"""CURE: re-generate from critical tokens, where the policy was uncertain.

Source: CURE (arXiv 2508.11016); bytedance/CURE:recipe/CURE_First_Stage/dapo_ray_trainer.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from agentrl.algorithms.checks import one_of, whole
from agentrl.algorithms.strategies.fork_plan import ForkPlan
from agentrl.algorithms.strategies.plan import GroupFacts, Plan
from agentrl.algorithms.strategies.strategy import Below, Fork, Need, by_entropy, trees_of
from agentrl.errors import ConfigError

ORDERS = ("entropy", "random")


def candidates(order: Sequence[int], allowed: Sequence[bool], top_k: int) -> tuple[int, ...]:
    """Return the first `top_k` positions of `order` that are allowed and not 0."""
    fit = (position for position in order if position > 0 and allowed[position])
    return tuple(position for position, _ in zip(fit, range(top_k), strict=False))


def critical_position(found: Sequence[int], below: Below) -> int:
    """Return one candidate, each equally likely; 0, without a draw, if there is none."""
    return found[below(len(found))] if found else 0


def branch_prompt(
    prompt: Sequence[int], response: Sequence[int], position: int, max_tokens: int
) -> tuple[int, ...]:
    """Return what a branch starts from: the prompt and the response before `position`.

    Beyond `max_tokens` the end is cut off, so the branch forks earlier than asked.
    """
    return (*prompt, *response[:position])[:max_tokens]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """Continue every root from a critical token, drawn from those of highest entropy.

    The group is roots and branches together, with one return each.  A root without a candidate
    is continued from the prompt.  Stage 2 of the paper is ordinary sampling.

    Attributes:
        roots: n1, rows that start from the prompt.
        continuations: n2, branches of each root.
        top_k: candidates per root.
        order: `entropy`, or `random` positions (the paper's ablation).
    """

    name: ClassVar[str] = "cure"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY, Need.TOKEN_FORK})
    roots: int = 4
    continuations: int = 3
    top_k: int = 20
    order: str = "entropy"

    def __post_init__(self) -> None:
        whole("roots", self.roots, 1)
        whole("continuations", self.continuations, 1)
        whole("top_k", self.top_k, 1)
        one_of("order", self.order, ORDERS)

    @property
    def rollouts(self) -> int:
        """Rows of a prompt in the end."""
        return self.roots * (1 + self.continuations)

    def for_budget(self, group_size: int | None) -> Cure:
        """Return the strategy with as many roots as fill the group; see `SizedStrategy`."""
        if group_size is None:
            return self
        shape = f"a root and {self.continuations} `continuations`"
        return replace(self, roots=trees_of(group_size, 1 + self.continuations, shape))

    def plan(self, facts: GroupFacts) -> Plan:
        """Return the plan of one group."""
        return ForkPlan(self, facts)

    def forks(
        self, entropies: Sequence[Sequence[float]], allowed: Sequence[Sequence[bool]], below: Below
    ) -> tuple[Fork, ...]:
        """Return one fork per root; see `ForkStrategy.forks`."""
        if len(entropies) != len(allowed):
            raise ConfigError(f"{len(entropies)} roots, but {len(allowed)} lists of positions.")
        found = []
        for root, (values, fit) in enumerate(zip(entropies, allowed, strict=True)):
            order = by_entropy(values) if self.order == "entropy" else shuffled(len(values), below)
            position = critical_position(candidates(order, fit, self.top_k), below)
            found.append(Fork(root, position, self.continuations))
        return tuple(found)


def shuffled(count: int, below: Below) -> list[int]:
    """Return 0..count-1 in random order, from `count` - 1 draws."""
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = below(last + 1)
        order[last], order[other] = order[other], order[last]
    return order
