"""From an algorithm's rollout strategy to the plans of a step's groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from agentrl.algorithms.slots import RolloutStrategy
from agentrl.algorithms.strategies.plan import GroupFacts, PlannedStrategy
from agentrl.algorithms.strategies.strategy import Need
from agentrl.engines.base import TemperatureRule
from agentrl.envs.base import TextEnv
from agentrl.errors import ConfigError
from agentrl.rollout.plan import Independent, Plan, PlanOf
from agentrl.rollout.policy import seed_of
from agentrl.types import Task

_FORKS = {Need.TURN_FORK: "after its turns", Need.TOKEN_FORK: "inside its answers"}


class StoredAnswers(Protocol):
    """Earlier episodes, by task."""

    def answers(self, task_id: str) -> Sequence[Sequence[int]] | None:
        """Return the answers of a task's episode, as token ids; None where there is none."""


class PlanMaker:
    """Makes the plan of each group.

    Args:
        tokenizer: of the model.
        seed: of the run.
        group_size: episodes per task.
        extra_episodes: further independent ones, of which the first to end are kept.
        stored: earlier episodes, for strategies that begin inside them.
    """

    def __init__(
        self,
        tokenizer: Any,
        seed: int,
        group_size: int,
        extra_episodes: int = 0,
        stored: StoredAnswers | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        self._seed = seed
        self._group_size = group_size
        self._extra_episodes = extra_episodes
        self._stored = stored

    def of(self, strategy: RolloutStrategy | None) -> PlanOf:
        """Return what makes the plans of a strategy; of one that plans nothing, independent ones.

        Args:
            strategy: as the controllers have it for this step.
        """
        if not isinstance(strategy, PlannedStrategy):
            return lambda tree, task: Independent(self._group_size, self._extra_episodes)
        planned = strategy

        def make(tree: str, task: Task) -> Plan:
            return planned.plan(self._facts(tree, task))

        return make

    def _facts(self, tree: str, task: Task) -> GroupFacts:
        return GroupFacts(
            group_size=self._group_size,
            seed=seed_of(self._seed, "plan", tree),
            vocabulary=len(self._tokenizer),
            decode=lambda token: str(self._tokenizer.decode([token])),
            special=self._special,
            stored=None if self._stored is None else self._stored.answers(task.id),
        )


def check_strategy(
    strategy: RolloutStrategy | None, env_class: type[TextEnv], env_id: str, extra_episodes: int
) -> None:
    """Find out whether a strategy can be carried out, before any work.

    Raises:
        ConfigError: the environment cannot be forked as the strategy needs, or the strategy
            decides itself how many episodes there are.
    """
    if strategy is None:
        return
    needs = _needs(strategy)
    where = [text for need, text in _FORKS.items() if need in needs]
    if where and not can_fork(env_class):
        raise ConfigError(
            f"The rollout strategy {strategy.name!r} branches an episode {' and '.join(where)}, "
            f"but the environment {env_id!r} cannot be forked. Define `fork` in its class (see "
            "docs/environments/own.md), or choose independent episodes with "
            "`algorithm.options.rollout=independent`."
        )
    if extra_episodes and isinstance(strategy, PlannedStrategy):
        raise ConfigError(
            f"`rollout.extra_episodes` is {extra_episodes}, but the rollout strategy "
            f"{strategy.name!r} decides itself which episodes there are; set it to 0."
        )


def temperature_rule(strategy: RolloutStrategy | None) -> TemperatureRule | None:
    """Return the strategy as what chooses temperatures, where that is what it does."""
    return cast(TemperatureRule, strategy) if Need.TEMPERATURE in _needs(strategy) else None


def _needs(strategy: RolloutStrategy | None) -> frozenset[Need]:
    return frozenset(getattr(strategy, "needs", ()))


def can_fork(env_class: type[TextEnv]) -> bool:
    """Return whether an environment's class, which need not derive from `TextEnv`, can fork."""
    known = getattr(env_class, "can_fork", None)
    return bool(known()) if known is not None else hasattr(env_class, "fork")
