"""Algorithms by name.

    get("grpo")                          the paper's setting
    get("grpo", kl_coefficient=0.04)     a setting of the method
    get("grpo", behaviour="token-tis")   any slot of `Algorithm`, also one the method leaves alone

A third party adds one with `register` or with a package entry point in the group
`agentrl.algorithms` whose value is a function of keyword settings that returns an `Algorithm`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from importlib.metadata import entry_points
from typing import Any

from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.behaviour import behaviour_weights
from agentrl.errors import ConfigError, unknown_name

Factory = Callable[..., Algorithm]

_METHODS = "agentrl.algorithms.methods"
_factories: dict[str, str | Factory] = {
    "cispo": f"{_METHODS}.cispo:cispo",
    "dapo": f"{_METHODS}.dapo:dapo",
    "dr_grpo": f"{_METHODS}.grpo:dr_grpo",
    "gpg": f"{_METHODS}.reinforce:gpg",
    "grpo": f"{_METHODS}.grpo:grpo",
    "gspo": f"{_METHODS}.gspo:gspo",
    "opo": f"{_METHODS}.reinforce:opo",
    "ppo": f"{_METHODS}.ppo:ppo",
    "reinforce": f"{_METHODS}.reinforce:reinforce",
    "reinforce_pp": f"{_METHODS}.reinforce_pp:reinforce_pp",
    "reinforce_pp_baseline": f"{_METHODS}.reinforce_pp:reinforce_pp_baseline",
    "rloo": f"{_METHODS}.reinforce:rloo",
    "sapo": f"{_METHODS}.sapo:sapo",
}
_entry_points_read = False


def register(name: str, factory: str | Factory) -> None:
    """Add an algorithm.

    Args:
        name: what users write.
        factory: a function of keyword settings, or `module:function` to import it on first use.

    Raises:
        ConfigError: the name is taken.
    """
    if name in _factories:
        raise ConfigError(f"Algorithm {name!r} is registered already; choose another name.")
    _factories[name] = factory


def names() -> list[str]:
    """Return all registered names, sorted."""
    _read_entry_points()
    return sorted(_factories)


def factory(name: str) -> Factory:
    """Return the function behind a name; raises `UnknownNameError` with the nearest one."""
    _read_entry_points()
    if name not in _factories:
        raise unknown_name("algorithm", name, _factories, "`agentrl algorithms` lists them.")
    found = _factories[name]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        _factories[name] = found
    return found


def listing() -> list[tuple[str, str]]:
    """Return name and first docstring line of every algorithm, sorted by name."""
    return [(name, (inspect.getdoc(factory(name)) or "").partition("\n")[0]) for name in names()]


def settings(name: str) -> dict[str, Any]:
    """Return an algorithm's own settings with their defaults."""
    parameters = inspect.signature(factory(name)).parameters
    return {key: parameter.default for key, parameter in parameters.items()}


def get(name: str, **overrides: Any) -> Algorithm:
    """Return an algorithm by name.

    Args:
        name: a registered name.
        overrides: settings of the method (`settings(name)`), or slots of `Algorithm`.
            `aggregation` and `behaviour` also accept names ("token-mean", "token-tis"), and
            `behaviour` the fields of a `BehaviourWeight` as a mapping.

    Raises:
        UnknownNameError: no such algorithm or setting; the message holds the nearest.
        ConfigError: a value is out of range or two slots do not go together.
    """
    build, own = factory(name), settings(name)
    slots = {item.name for item in fields(Algorithm)} - {"name"}
    for key in overrides:
        if key not in own and key not in slots:
            raise unknown_name(f"setting of algorithm {name!r}", key, {*own, *slots})
    try:
        algorithm = build(**{key: value for key, value in overrides.items() if key in own})
        rest = {key: value for key, value in overrides.items() if key not in own}
        return replace(algorithm, **_parsed(rest))
    except ConfigError as error:
        raise ConfigError(f"Algorithm {name!r}: {error}") from error


def _parsed(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the names of presets into slots."""
    parsed = dict(overrides)
    if isinstance(parsed.get("aggregation"), str):
        parsed["aggregation"] = Aggregation(parsed["aggregation"])
    if isinstance(parsed.get("behaviour"), (str, Mapping)):
        parsed["behaviour"] = behaviour_weights(parsed["behaviour"])
    return parsed


def _read_entry_points() -> None:
    global _entry_points_read
    if not _entry_points_read:
        _entry_points_read = True
        for point in entry_points(group="agentrl.algorithms"):
            register(point.name, point.value)
