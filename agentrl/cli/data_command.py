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
    path = data_directory(args.name, args.path)
    if args.source is not None:
        source = Path(args.source).expanduser().absolute()
        if not source.is_dir():
            raise DataError(f"There is no directory {str(source)!r} to make the data from.")
        _print(module.prepare(source, path))
    try:
        found = module.check(path)
    except AgentRLError as error:
        print(f"agentrl: {error}", file=sys.stderr)
        print(module.instructions())
        return 1
    print(f"{args.name} is usable{_where(args.name, path)}")
    _print(found)
    return 0


def _list() -> int:
    from agentrl.envs.data import data_directory
    from agentrl.errors import AgentRLError

    for name, description in SETS.items():
        path = data_directory(name)
        try:
            _module(name).check(path)
            state = "usable"
        except AgentRLError as error:
            here = path.exists() or name in PACKAGED
            state = f"not usable: {error}" if here else "missing"
        print(f"{name:14}{description:46}{state}{_where(name, path)}")
    print("\n`agentrl data NAME` says how to get one, and checks it.")
    return 0


def _where(name: str, path: Path) -> str:
    return "" if name in PACKAGED else f", in {path}"


def _module(name: str) -> Any:
    return importlib.import_module(f"agentrl.envs.{name}.data")


def _print(lines: list[str]) -> None:
    for line in lines:
        print(f"  {line}")
