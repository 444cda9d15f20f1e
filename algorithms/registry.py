"""Algorithms by name.

    get("grpo")                          the paper's setting
    get("grpo", kl_coefficient=0.04)     a setting of the method
    get("grpo", behaviour="token-tis")   any slot of `Algorithm`, also one the method leaves alone

A method is a function of keyword settings that returns an `Algorithm`.  Ours lie in
`agentrl.algorithms.methods`, each under the decorator `method`, and are found there; nothing else
has to be edited to add one.  A third party uses `register`, or a package entry point in the group
`agentrl.algorithms` whose value is such a function.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import entry_points
from typing import Any, TypeVar

from agentrl.algorithms.advantages.presets import base_advantage
from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.behaviour.presets import behaviour_weights
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.strategies.presets import rollout_strategy, steered
from agentrl.errors import ConfigError, unknown_name

Factory = Callable[..., Algorithm]
Decorated = TypeVar("Decorated", bound=Factory)

FAMILIES = ("agentic", "policy-loss", "advantage", "reward", "memory")
PROVENANCES = ("official vectors", "identity tests", "reconstructed")

_factories: dict[str, str | Factory] = {}
_cards: dict[str, Card] = {}
_all_found = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known about a method, for people.

    Attributes:
        family: one of `FAMILIES`; names the page in docs/algorithms.
        source: paper or repository.
        provenance: how we know it is right: `official vectors` (released code agrees on golden
            files), `identity tests` (special cases and hand-computed numbers of a published
            formula), or `reconstructed` (the formula was not published; ours follows the abstract).
    """

    family: str
    source: str
    provenance: str

    def __post_init__(self) -> None:
        one_of("family", self.family, FAMILIES)
        one_of("provenance", self.provenance, PROVENANCES)


def method(*, family: str, source: str, provenance: str) -> Callable[[Decorated], Decorated]:
    """Register the decorated function under its own name; see `Card` for the arguments."""

    def decorate(factory: Decorated) -> Decorated:
        name = factory.__name__
        register(name, factory)
        _cards[name] = Card(family=family, source=source, provenance=provenance)
        return factory

    return decorate


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
    _find_all()
    return sorted(_factories)


def factory(name: str) -> Factory:
    """Return the function behind a name; raises `UnknownNameError` with the nearest one."""
    _find_all()
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


def card(name: str) -> Card | None:
    """Return what is known about a method; None for those of third parties."""
    factory(name)
    return _cards.get(name)


def settings(name: str) -> dict[str, Any]:
    """Return an algorithm's own settings with their defaults."""
    parameters = inspect.signature(factory(name)).parameters
    return {key: parameter.default for key, parameter in parameters.items()}


def get(name: str, **overrides: Any) -> Algorithm:
    """Return an algorithm by name.

    Args:
        name: a registered name.
        overrides: settings of the method (`settings(name)`), or slots of `Algorithm`.
            `aggregation`, `behaviour`, `advantage` and `rollout` also accept names ("token-mean",
            "token-tis", "subtree", "fixed"), `behaviour` the fields of a `BehaviourWeight` as a
            mapping, `advantage` and `rollout` a mapping of `name` and fields of what it names.

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
        rest = _parsed({key: value for key, value in overrides.items() if key not in own})
        if "rollout" in rest:
            rest.setdefault("controllers", steered(rest["rollout"], algorithm.controllers))
        return replace(algorithm, **rest)
    except ConfigError as error:
        raise ConfigError(f"Algorithm {name!r}: {error}") from error


def _parsed(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the names of presets into slots."""
    parsed = dict(overrides)
    if isinstance(parsed.get("aggregation"), str):
        parsed["aggregation"] = Aggregation(parsed["aggregation"])
    if isinstance(parsed.get("behaviour"), (str, Mapping)):
        parsed["behaviour"] = behaviour_weights(parsed["behaviour"])
    if isinstance(parsed.get("advantage"), (str, Mapping)):
        parsed["advantage"] = base_advantage(parsed["advantage"])
    if isinstance(parsed.get("rollout"), (str, Mapping)):
        parsed["rollout"] = rollout_strategy(parsed["rollout"])
    return parsed


def _find_all() -> None:
    """Import our methods and read the entry points of installed packages, once."""
    global _all_found
    if _all_found:
        return
    _all_found = True
    package = importlib.import_module("agentrl.algorithms.methods")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    for point in entry_points(group="agentrl.algorithms"):
        register(point.name, point.value)
