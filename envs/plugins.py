"""Environments of installed packages, by the entry-point group `gymnasium.envs`.

A package declares, in its pyproject.toml,

    [project.entry-points."gymnasium.envs"]
    acme = "acme_envs:register_all"

where `acme` is the namespace of its environments and `register_all` a function without arguments
that registers them, with `agentrl.envs.register` or `gymnasium.register`; a module name alone is
imported.  The names `__root__` and `__internal__` stand for no namespace.  gymnasium defined the
group up to version 0.29; its later versions leave it to others to read it, which is done here.

A package is loaded when an environment of its namespace is asked for, or all are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points

import gymnasium
from gymnasium.envs import registration

GROUP = "gymnasium.envs"
NO_NAMESPACE = frozenset({"__root__", "__internal__"})

origins: dict[str, str] = {}
"""The package that registered an environment, by id; without those of AgentRL itself."""

failures: dict[str, str] = {}
"""Why a package could not be loaded, by `package (namespace)`."""

_loaded: set[tuple[str, str]] = set()


def load(namespace: str | None = None) -> None:
    """Load the packages that may hold environments of a namespace; all, for None.

    What a package raises is kept in `failures`: it is no reason for others not to work.
    """
    for plugin in _plugins():
        if namespace in (None, plugin.name) or plugin.name in NO_NAMESPACE:
            _load_once(plugin)


def current_namespace() -> str | None:
    """Return the namespace that environments registered now get, or None."""
    return registration.current_namespace


def _load_once(plugin: EntryPoint) -> None:
    key = (plugin.name, plugin.value)
    if key in _loaded:
        return
    _loaded.add(key)
    package = plugin.dist.name if plugin.dist is not None else plugin.module
    before = set(gymnasium.registry)
    try:
        with _namespace(None if plugin.name in NO_NAMESPACE else plugin.name):
            found = plugin.load()
            if plugin.attr:
                found()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        failures[f"{package} ({plugin.name} = {plugin.value})"] = text
    for env_id in set(gymnasium.registry) - before:
        origins[env_id] = package


@contextmanager
def _namespace(name: str | None) -> Iterator[None]:
    """Register into a namespace; unlike gymnasium's own, this one survives an exception."""
    before = registration.current_namespace
    registration.current_namespace = name
    try:
        yield
    finally:
        registration.current_namespace = before


@cache
def _plugins() -> tuple[EntryPoint, ...]:
    found = entry_points(group=GROUP)
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.value)))
