"""Rollout strategies by name, as a configuration file writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agentrl.algorithms.strategies.branching import Branching
from agentrl.algorithms.strategies.branching_rules import AepoRule, ArpoRule
from agentrl.algorithms.strategies.cure import Cure
from agentrl.algorithms.strategies.drpo import Drpo
from agentrl.algorithms.strategies.ettrl import Ettrl
from agentrl.algorithms.strategies.fixed import FixedBranching
from agentrl.algorithms.strategies.hapo_sampler import HapoSampler
from agentrl.algorithms.strategies.strategy import RolloutStrategy
from agentrl.errors import ConfigError, unknown_name

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
    given = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(
            f"`rollout` is {dict(given)!r}; it must have a `name`, one of: {', '.join(NAMES)}."
        )
    if name not in NAMES:
        raise unknown_name("rollout strategy", name, NAMES)
    given = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }
    if name in RULES:
        return _branching(name, given)
    kind = STRATEGIES.get(name)
    _check_fields(name, given, _names(kind) if kind else set())
    strategy: RolloutStrategy | None = kind(**given) if kind else None
    return strategy


def _branching(name: str, given: Mapping[str, Any]) -> Branching:
    rule, own = RULES[name], _names(Branching) - {"rule"}
    _check_fields(name, given, own | _names(rule))
    of_rule = {key: value for key, value in given.items() if key not in own}
    rest = {key: value for key, value in given.items() if key in own}
    return Branching(rule=rule(**of_rule), **rest)


def _names(kind: type[Any]) -> set[str]:
    return {item.name for item in fields(kind)}


def _check_fields(name: str, given: Mapping[str, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise unknown_name(f"field of the rollout strategy {name!r}", key, known)
