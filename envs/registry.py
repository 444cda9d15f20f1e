"""Environment registry: names to classes, on top of gymnasium's own registry."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import gymnasium

from agentrl.envs import plugins
from agentrl.envs.base import TextEnv
from agentrl.errors import ConfigError, EnvironmentFailure, unknown_name

EntryPoint = str | Callable[..., gymnasium.Env[str, str]]

_HINT = "`agentrl envs` lists all environments."
_descriptions: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A registered environment, for lists.

    Attributes:
        env_id: its id.
        description: one line; empty where it was registered with gymnasium alone.
        origin: the installed package it comes from; empty for AgentRL's and the user's own.
    """

    env_id: str
    description: str = ""
    origin: str = ""


def register(
    env_id: str,
    entry_point: EntryPoint,
    *,
    description: str,
    kwargs: Mapping[str, Any] | None = None,
) -> None:
    """Register an environment with AgentRL and with gymnasium.

    Args:
        env_id: `namespace/Name-vN`, for example `agentrl/TextWorld-v0`.  The namespace may be left
            out in a package that is loaded by its entry point, whose name it then gets.
        entry_point: `module:Class` (imported on first use) or the class itself.  Worker processes
            can only import the first form by themselves.
        description: one line for `agentrl envs`.
        kwargs: constructor arguments.

    Raises:
        ConfigError: the id is malformed, lacks a namespace or version, or is already taken.
    """
    try:
        namespace, _, version = gymnasium.envs.registration.parse_env_id(env_id)
    except gymnasium.error.Error as error:
        raise ConfigError(f"Environment id {env_id!r} is malformed: {error}") from error
    imposed = plugins.current_namespace()
    if imposed is not None and namespace is None:
        env_id, namespace = f"{imposed}/{env_id}", imposed
    if imposed not in (None, namespace):
        raise ConfigError(
            f"Environment id {env_id!r} must be in namespace {imposed!r}, which is the name of the "
            f"entry point (group {plugins.GROUP!r}) that registers it."
        )
    if namespace is None or version is None:
        raise ConfigError(
            f"Environment id {env_id!r} must have the form `namespace/Name-vN`, "
            "for example `agentrl/TextWorld-v0`."
        )
    if env_id in gymnasium.registry:
        raise ConfigError(
            f"Environment {env_id!r} is already registered; raise its version number or choose "
            "another name."
        )
    gymnasium.register(env_id, entry_point, kwargs=dict(kwargs or {}), disable_env_checker=True)
    _descriptions[env_id] = description


def listing() -> list[tuple[str, str]]:
    """Return `(id, description)` of every environment registered through AgentRL, sorted."""
    return sorted(_descriptions.items())


def entries() -> list[Entry]:
    """Return every environment, sorted, with those of installed packages, which are loaded.

    Those of packages that registered with gymnasium alone are included; gymnasium's own are not.
    """
    plugins.load()
    return [
        Entry(
            env_id=env_id,
            description=_descriptions.get(env_id, ""),
            origin=plugins.origins.get(env_id, ""),
        )
        for env_id in sorted(_descriptions.keys() | plugins.origins.keys())
    ]


def env_class(env_id: str) -> type[TextEnv]:
    """Return the class behind an id, importing its module.

    The class need not derive from `TextEnv`; any gymnasium environment with text observations and
    actions that has `prompt` (and `panel`) will do.

    Raises:
        UnknownNameError: nothing of that name is registered.
        ConfigError: the entry point is a function, or cannot be imported.
    """
    entry_point = _spec(env_id).entry_point
    if isinstance(entry_point, str):
        module_name, _, attribute = entry_point.partition(":")
        try:
            entry_point = getattr(importlib.import_module(module_name), attribute)
        except Exception as error:  # whatever the module does while it is imported
            raise ConfigError(
                f"Environment {env_id!r} cannot be imported from {module_name}:{attribute}: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(entry_point, type):
        raise ConfigError(
            f"The entry point of environment {env_id!r} must be a class, so that its `prompt` and "
            f"`panel` can be read; got {entry_point!r}."
        )
    return cast("type[TextEnv]", entry_point)


def make(env_id: str, **kwargs: Any) -> gymnasium.Env[str, str]:
    """Make an environment, without gymnasium's checking wrappers.

    Args:
        env_id: a registered id.
        kwargs: constructor arguments; they override those given to `register`.

    Raises:
        UnknownNameError: nothing of that name is registered.
        EnvironmentFailure: the constructor raised.
    """
    spec = _spec(env_id)
    factory = env_class(env_id) if isinstance(spec.entry_point, str) else spec.entry_point
    assert callable(factory)
    try:
        return cast("gymnasium.Env[str, str]", factory(**{**spec.kwargs, **kwargs}))
    except Exception as error:
        raise EnvironmentFailure(
            f"Environment {env_id!r} cannot be constructed: {type(error).__name__}: {error}"
        ) from error


def check_known(env_id: str) -> None:
    """Raise `UnknownNameError` if nothing of that name is registered; imports no environment."""
    _spec(env_id)


def _spec(env_id: str) -> gymnasium.envs.registration.EnvSpec:
    """Look an id up; `module:namespace/Name-vN` imports `module` first, as in gymnasium."""
    module_name, colon, name = env_id.rpartition(":")
    if colon:
        _import(module_name, env_id)
    spec = gymnasium.registry.get(name)
    if spec is None:
        plugins.load(name.rpartition("/")[0])
        spec = gymnasium.registry.get(name)
    if spec is None or spec.entry_point is None:
        raise unknown_name("environment", name, _names(), _hint())
    return spec


def _import(module_name: str, env_id: str) -> None:
    try:
        importlib.import_module(module_name)
    except Exception as error:
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"Module {module_name!r} of environment {env_id!r} cannot be imported: {what}"
        ) from error


def _hint() -> str:
    broken = [
        f"Package {name} could not be loaded: {why}" for name, why in plugins.failures.items()
    ]
    return " ".join([_HINT, *broken])


def _names() -> list[str]:
    """Return the ids offered as nearest matches: all but gymnasium's own control tasks."""
    return [name for name, spec in gymnasium.registry.items() if spec.namespace is not None]
