"""Rollout strategies by name, as a configuration file writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrl.algorithms.controllers import ControllerSettings
from agentrl.algorithms.named import check_fields, field_names, name_and_fields
from agentrl.algorithms.strategies.branching import Branching
from agentrl.algorithms.strategies.branching_rules import AepoRule, ArpoRule
from agentrl.algorithms.strategies.cure import Cure
from agentrl.algorithms.strategies.drpo import Drpo
from agentrl.algorithms.strategies.ettrl import Ettrl
from agentrl.algorithms.strategies.fixed import FixedBranching
from agentrl.algorithms.strategies.hapo_sampler import HapoSampler, SamplerStatistics
from agentrl.algorithms.strategies.strategy import RolloutStrategy

INDEPENDENT = "independent"
RULES: dict[str, type[ArpoRule] | type[AepoRule]] = {"arpo": ArpoRule, "aepo": AepoRule}
"""Names of `Branching`, by its rule."""
STRATEGIES: dict[str, type[Any]] = {
    "cure": Cure,
    "drpo": Drpo,
    "ettrl": Ettrl,
    "fixed": FixedBranching,
    "hapo": HapoSampler,
}
NAMES = (INDEPENDENT, *RULES, *STRATEGIES)


def rollout_strategy(choice: str | Mapping[str, Any]) -> RolloutStrategy | None:
    """Return a rollout strategy as a configuration file writes it; None samples independently.

    Args:
        choice: a name in `NAMES`; or a mapping of `name` and fields of the strategy, for example
            `{name: fixed, turns: [1, 3], children: 2}`.  Fields of `arpo` and `aepo` are those of
            `Branching` and of the rule.

    Raises:
        UnknownNameError: no such strategy or field; the message holds the nearest.
        ConfigError: there is no name, or a value is out of range.
    """
    name, given = name_and_fields("rollout", "rollout strategy", choice, NAMES)
    owner = f"the rollout strategy {name!r}"
    if name in RULES:
        own, of_rule = field_names(Branching) - {"rule"}, field_names(RULES[name])
        check_fields(owner, given, own | of_rule)
        rule = RULES[name](**{key: value for key, value in given.items() if key in of_rule})
        return Branching(rule=rule, **{key: v for key, v in given.items() if key in own})
    kind = STRATEGIES.get(name)
    check_fields(owner, given, field_names(kind) if kind else ())
    strategy: RolloutStrategy | None = kind(**given) if kind else None
    return strategy


def steered(
    strategy: RolloutStrategy | None, controllers: Sequence[ControllerSettings]
) -> tuple[ControllerSettings, ...]:
    """Return the controllers of an algorithm that is given another rollout strategy.

    Args:
        strategy: the new one.
        controllers: of the algorithm; that of a sampler leaves with it, or is added with one.
    """
    if isinstance(strategy, HapoSampler):
        found = any(isinstance(settings, SamplerStatistics) for settings in controllers)
        return (*controllers, *(() if found else (SamplerStatistics(),)))
    return tuple(each for each in controllers if not isinstance(each, SamplerStatistics))
