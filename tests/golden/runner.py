"""Run golden files: of algorithms, transcripts of environments, and functions of tools."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agentrl.envs.scienceworld.java import find_java
from agentrl.errors import ConfigError, MissingExtraError
from tests.golden import tools
from tests.golden.case import Adapter, load, mismatches
from tests.golden.missing import Missing

HERE = Path(__file__).parent
DATA = HERE / "data"


def _adapters() -> dict[tuple[str, str], Adapter]:
    """Return the adapters of every module `adapters_*` beside this one."""
    found: dict[tuple[str, str], Adapter] = {}
    for module in pkgutil.iter_modules([str(HERE)]):
        if module.name.startswith("adapters_"):
            found |= importlib.import_module(f"tests.golden.{module.name}").ADAPTERS
    return found


ADAPTERS = _adapters()

ENVIRONMENTS: dict[str, bool] = {
    "alfworld": True,
    "scienceworld": False,
    "textworld": False,
    "webshop": True,
}
"""Environments with golden files, and whether these need the environment's data."""

PARTS = ("algorithms", "environments", "tools")
"""Sub-folders of a folder of golden files that are run."""

LONGEST = 400
"""Characters of a problem that are printed."""


def shared() -> Path:
    """Return the folder of official data."""
    return Path(os.environ.get("AGENTRL_SHARED") or Path(__file__).parents[3] / "shared")


def folder() -> Path:
    """Return the folder in AGENTRL_GOLDEN, or our own."""
    return Path(os.environ.get("AGENTRL_GOLDEN") or DATA)


def check(path: Path) -> list[str]:
    """Return what is wrong with our results for a file that is no environment's; empty if none."""
    if tools.is_of_tools(path):
        return tools.check(path)
    problems: list[str] = []
    for case in load(path):
        adapter = ADAPTERS.get((case.method, case.function))
        if adapter is None:
            return [f"no adapter for method {case.method!r}, function {case.function!r}"]
        try:
            problems += mismatches(case, adapter(case))
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")
    return problems


def _checked(path: Path) -> tuple[list[str], str]:
    try:
        return check(path), ""
    except (Missing, MissingExtraError) as error:
        return [], str(error)


def environment_of(path: Path) -> str | None:
    """Return the environment that a file is of, by its name or else by its `meta`; None if none."""
    name = path.name.partition(".")[0]
    if name in ENVIRONMENTS:
        return name
    try:
        data = json.loads(path.read_text())
    except ValueError:
        return None
    meta = str(data.get("meta", "")).lower() if isinstance(data, dict) else ""
    named = [name for name in ("alfworld", "scienceworld", "webshop", "textworld") if name in meta]
    return named[0] if named else None


def check_environment(name: str, path: Path, data: Path) -> tuple[list[str], str]:
    """Replay an environment's file.

    Returns:
        What is wrong, and why the file was skipped (empty where it was not).
    """
    if ENVIRONMENTS[name] and not (data / name).is_dir():
        return [], f"no {name} data at {data / name}; set AGENTRL_SHARED to the folder above `data`"
    if name == "scienceworld" and (reason := no_java()):
        return [], reason
    module = f"tests.golden.environments_{name}"
    if importlib.util.find_spec(module) is None:
        return [f"no adapter for environment {name!r}"], ""
    try:
        problems: list[str] = importlib.import_module(module).check(path, data)
    except MissingExtraError as error:
        return [], str(error)
    except Exception as error:
        problems = [f"{type(error).__name__}: {error}"]
    return problems, ""


def no_java() -> str:
    """Return why there is no Java for ScienceWorld; empty if there is."""
    try:
        find_java()
    except ConfigError as error:
        return str(error)
    return ""


def files(where: Path, write: Callable[[str], object]) -> Iterator[Path]:
    """Yield the files to run: a file itself, those of a folder and of its known sub-folders."""
    if where.is_file():
        yield where
        return
    if not where.is_dir():
        write(f"FAILED {where}: there is no such file or folder")
        return
    yield from sorted(where.glob("*.json"))
    for part in PARTS:
        yield from sorted((where / part).glob("*.json"))
    for other in sorted(where.iterdir()):
        if other.is_dir() and other.name not in PARTS:
            count = len(list(other.glob("*.json")))
            write(f"not run: {count} files of {other.name}/, which no adapter reads yet")


def run(where: Path | Sequence[Path], write: Callable[[str], object] = print) -> int:
    """Check files, print failures, skips and a last line; return the exit status.

    Args:
        where: files or folders.
        write: prints a line.
    """
    places = [where] if isinstance(where, Path) else list(where)
    passed = failed = skipped = 0
    for path in [path for place in places for path in files(place, write)]:
        name = environment_of(path)
        problems, reason = (
            _checked(path) if name is None else check_environment(name, path, shared() / "data")
        )
        for problem in problems:
            write(f"FAILED {path.name}: {problem[:LONGEST]}")
        if reason:
            write(f"skipped {path.name}: {reason}")
        skipped += bool(reason)
        failed += bool(problems)
        passed += not problems and not reason
    last = f"{passed} passed, {failed} failed"
    write(f"{last}, {skipped} skipped" if skipped else last)
    return 1 if failed or not passed else 0


def places(arguments: Sequence[str], write: Callable[[str], object] = print) -> list[Path]:
    """Return what the command runs: its arguments, AGENTRL_GOLDEN, or all that is there."""
    if arguments:
        return [Path(argument) for argument in arguments]
    if os.environ.get("AGENTRL_GOLDEN"):
        return [folder()]
    official = [shared() / "golden" / part for part in ("environments", "tools")]
    for place in official:
        if not place.is_dir():
            write(f"skipped: no official data of {place.name} at {place}; set AGENTRL_SHARED")
    return [DATA, *(place for place in official if place.is_dir())]
