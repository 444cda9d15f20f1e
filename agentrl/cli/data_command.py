"""`agentrl data [NAME]`: how to get the data of a benchmark, and whether they are usable."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SETS: Mapping[str, str] = {
    "alfworld": "the games of ALFWorld",
    "scienceworld": "the ScienceWorld package and a Java runtime",
    "webshop": "the products and goals of WebShop",
}
"""Names; the module `agentrl.envs.<name>.data` has `instructions`, `check` and `prepare`."""

PACKAGED = {"scienceworld"}
"""Sets that come with a package and have no directory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help=f"{', '.join(SETS)}; without it, all are listed")
    parser.add_argument("--path", help="where the data lie; by default where environments look")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="DIR",
        help="make the data from the files in this directory, as they were published",
    )


def run(args: argparse.Namespace) -> int:
    """List, check or prepare."""
    from agentrl.envs.data import data_directory
    from agentrl.errors import AgentRLError, ConfigError, DataError, unknown_name

    if args.name is None:
        if args.path or args.source:
            raise ConfigError(f"Name the data set: {', '.join(SETS)}.")
        return _list()
    if args.name not in SETS:
        raise unknown_name("data set", args.name, SETS)
    module = _module(args.name)
    if args.source is not None:
        source = Path(args.source).expanduser().absolute()
        if not source.is_dir():
            raise DataError(f"There is no directory {str(source)!r} to make the data from.")
        path = data_directory(args.name, args.path)
        _print(module.prepare(source, path))
    else:
        path = _directory(args.name, args.path)
    try:
        found = _check(args.name, path)
    except AgentRLError as error:
        print(f"agentrl: {error}", file=sys.stderr)
        print(module.instructions())
        return 1
    print(f"{args.name} is usable{_where(args.name, path)}")
    _print(found)
    return 0


def _list() -> int:
    from agentrl.errors import AgentRLError

    for name, description in SETS.items():
        path = _directory(name)
        try:
            _check(name, path)
            state = "usable"
        except AgentRLError as error:
            here = path.exists() or name in PACKAGED
            state = f"not usable: {error}" if here else "missing"
        print(f"{name:14}{description:46}{state}{_where(name, path)}")
    print("\n`agentrl data NAME` says how to get one, and checks it.")
    return 0


def _directory(name: str, chosen: str | None = None) -> Path:
    """Return where the data lie; where there are none, where they are expected."""
    from agentrl.envs.data import data_directory
    from agentrl.errors import DataError

    find = getattr(_module(name), "find_directory", None)  # some also look where others put them
    if find is not None and chosen is None:
        try:
            return Path(find())
        except DataError:
            pass
    return data_directory(name, chosen)


def _check(name: str, path: Path) -> list[str]:
    from agentrl.errors import DataError

    if name not in PACKAGED and not path.is_dir():
        raise DataError(f"There is no {name} data in {str(path)!r}.")
    found: list[str] = _module(name).check(path)
    return found


def _where(name: str, path: Path) -> str:
    return "" if name in PACKAGED else f", in {path}"


def _module(name: str) -> Any:
    return importlib.import_module(f"agentrl.envs.{name}.data")


def _print(lines: list[str]) -> None:
    for line in lines:
        print(f"  {line}")
