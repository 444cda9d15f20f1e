"""The page docs/configuration.md, written from the settings' own docstrings.

Run:  python -m agentrl.config.describe > docs/configuration.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from agentrl.config.schema import RunConfig

HEAD = """\
# Configuration

A run has one tree of settings. A YAML file in `configs/` holds only what differs from the defaults
below; `section.key=value` on the command line changes it further. Values are checked before any
work starts: a wrong one is an error that says what is accepted, and an unknown key is an error that
names the nearest known one. The whole tree, with what was in effect, lies in `config.yaml` of the
run directory; `agentrl train CONFIG --print-config` shows it without running.

This page is written by `python -m agentrl.config.describe`.
"""


def describe() -> str:
    """Return the page: one table for the top level and one for each section."""
    parts = [HEAD, "## Top level\n", _table(RunConfig, "")]
    for name, section in _sections(RunConfig, ""):
        summary = (inspect.getdoc(section) or "").partition("\n")[0]
        parts += [f"## `{name}`\n", f"{summary}\n", _table(section, f"{name}.")]
    return "\n".join(parts)


def _sections(cls: type, prefix: str) -> Iterator[tuple[str, type]]:
    """Yield the dotted name and class of every section, also of optional ones."""
    hints = get_type_hints(cls)
    for item in dataclasses.fields(cls):
        for option in (hints[item.name], *get_args(hints[item.name])):
            if isinstance(option, type) and dataclasses.is_dataclass(option):
                yield f"{prefix}{item.name}", option
                yield from _sections(option, f"{prefix}{item.name}.")


def _table(cls: type, prefix: str) -> str:
    hints, meanings = get_type_hints(cls), attributes(cls)
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for item in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[item.name]):
            continue
        cells = [f"`{prefix}{item.name}`", _type(hints[item.name]), _default(item)]
        rows.append(f"| {' | '.join(cells)} | {meanings[item.name]} |")
    return "\n".join(rows) + "\n"


def attributes(cls: type) -> dict[str, str]:
    """Return the meaning of each field from the `Attributes:` part of a class's docstring."""
    _, _, text = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    entries = re.split(r"^    (?=\w+: )", text.partition("\n\n")[0], flags=re.MULTILINE)
    pairs = (entry.partition(": ") for entry in entries if entry.strip())
    return {name: _sentence(meaning) for name, _, meaning in pairs}


def _sentence(meaning: str) -> str:
    text = re.sub(r"\bNone\b", "null", " ".join(meaning.split()))  # as YAML writes it
    return text[:1].upper() + text[1:]


def _type(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if dataclasses.is_dataclass(hint):
        return "section"
    if origin is tuple:
        return f"list of {_type(get_args(hint)[0])}"
    if origin is not None:
        return " or ".join(_type(part) for part in get_args(hint))
    words = {int: "integer", float: "number", bool: "boolean", str: "text", type(None): "null"}
    return words[hint]


def _default(item: dataclasses.Field[Any]) -> str:
    if item.default_factory is not dataclasses.MISSING:
        return f"`{item.default_factory()!r}`"
    plain = {True: "true", False: "false", None: "null"}
    value = item.default
    if isinstance(value, tuple):
        value = list(value)
    return f"`{plain[value] if value is None or isinstance(value, bool) else value}`"


if __name__ == "__main__":
    print(describe(), end="")
