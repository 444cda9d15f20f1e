"""`agentrl envs` and `agentrl envs check ID`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from agentrl.envs.conformance import Report, Result

_SHOWN_PER_PACKAGE = 12
_STYLES = {"pass": "green", "fail": "bold red", "skip": "dim"}
_WIDTH = 100
_INDENT = 21


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    commands = parser.add_subparsers(dest="action", metavar="check")
    check = commands.add_parser(
        "check",
        help="test an environment of your own against the contract, and say what to fix",
        description="Test an environment against the contract, and say what to fix.",
    )
    check.add_argument("env_id", help="for example line:own/Line-v0 for a module line.py")
    check.add_argument("--split", default="train", help="whose tasks are played (default train)")
    check.add_argument(
        "--panel",
        nargs="*",
        default=[],
        metavar="key=value",
        help="options of the panel, for example count=4",
    )
    check.add_argument(
        "--full",
        action="store_true",
        help="100 forks, 10,000 odd actions, 500 episodes, instead of a few",
    )
    check.add_argument("--only", action="append", default=[], metavar="NAME", help="one check")
    check.add_argument(
        "--timeout", type=float, default=30.0, help="seconds a call may take (default 30)"
    )
    check.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """List the environments, or check one; the status is 1 if a check failed."""
    if args.action == "check":
        return _check(args)
    _list()
    return 0


def _list() -> None:
    """Print id, description and origin of every environment."""
    from agentrl.envs import plugins, registry

    unnamed: dict[str, int] = {}
    for entry in registry.entries():
        if not entry.description:
            unnamed[entry.origin] = unnamed.get(entry.origin, 0) + 1
            if unnamed[entry.origin] > _SHOWN_PER_PACKAGE:
                continue
        origin = f"[{entry.origin}]" if entry.origin else ""
        print(f"{entry.env_id:28} {entry.description} {origin}".rstrip())
    for origin, count in unnamed.items():
        if count > _SHOWN_PER_PACKAGE:
            print(f"{'...':28} and {count - _SHOWN_PER_PACKAGE} more [{origin}]")
    for package, why in plugins.failures.items():
        print(f"Package {package} could not be loaded: {why}")


def _check(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from rich.console import Console

    from agentrl.config.load import parse_overrides
    from agentrl.envs.conformance import FULL, QUICK, Subject, check_environment
    from agentrl.errors import ConfigError

    if not args.timeout > 0:
        raise ConfigError(f"`--timeout` is {args.timeout:g}; give seconds above 0.")
    subject = Subject(
        env_id=_known(args.env_id),
        panel_options=parse_overrides(args.panel),
        split=args.split,
        limits=replace(FULL if args.full else QUICK, call_seconds=args.timeout),
    )
    if args.json:
        report = check_environment(subject, args.only)
        print(json.dumps(report.to_json(), indent=1))
        return 0 if report.ok else 1
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{subject.env_id}, {'full' if args.full else 'quick'} checks\n", markup=False)
    report = check_environment(subject, args.only, lambda result: _show(console, result))
    _summarise(console, report, args)
    return 0 if report.ok else 1


def _known(env_id: str) -> str:
    """Return the full id; ids of modules are left to the checks, because importing may fail."""
    from importlib.util import find_spec

    from agentrl.cli.names import environment_id
    from agentrl.envs import registry
    from agentrl.errors import ConfigError

    module, colon, _ = env_id.rpartition(":")
    if not colon:
        full = environment_id(env_id)
        registry.check_known(full)
        return full
    try:
        found = find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise ConfigError(
            f"There is no module {module!r} for environment {env_id!r}; it is looked for in the "
            "current folder and where Python finds modules."
        )
    return env_id


def _show(console: Console, result: Result) -> None:
    """Print one line for a check, and what to fix where it failed."""
    from rich.text import Text

    if result.blocked:
        return
    style = _STYLES[result.status]
    word = result.status.upper() if result.status == "fail" else result.status
    line = Text.assemble((f"  {word:6}", style), (f"{result.check:13}", "bold"))
    body = "dim" if result.status == "skip" else ""
    _append(line, result.note, body)
    if result.fix:
        _append(line, f"Fix: {result.fix}.", "yellow", new_line=True)
    console.print(line)


def _append(line: Any, text: str, style: str, new_line: bool = False) -> None:
    """Append text, wrapped into the column after the check's name."""
    import textwrap

    indent = " " * _INDENT
    wrapped = textwrap.wrap(
        text, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False
    ) or [""]
    if new_line:
        line.append("\n" + indent)
    line.append(f"\n{indent}".join(wrapped), style)


def _summarise(console: Console, report: Report, args: argparse.Namespace) -> None:
    counts = {
        status: sum(result.status == status for result in report.results) for status in _STYLES
    }
    seconds = sum(result.seconds for result in report.results)
    text = (
        f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped "
        f"in {seconds:.1f} s."
    )
    if report.ok and not args.full and not args.only:
        text += " `--full` tries everything longer."
    blocked = sum(result.blocked for result in report.results)
    if blocked:
        text += f" {blocked} of the skipped need what failed."
    console.print(f"\n{text}", style="green" if report.ok else "bold red", markup=False)
