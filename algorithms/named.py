"""Slots that a configuration file writes as a name, or as a mapping of `name` and fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from agentrl.errors import ConfigError, unknown_name


def name_and_fields(
    slot: str, kind: str, choice: str | Mapping[str, Any], names: Collection[str]
) -> tuple[str, dict[str, Any]]:
    """Return the name that was written and the fields beside it; lists become tuples.

    Args:
        slot: setting that is read, for messages.
        kind: what the names name, for messages.
        choice: a name, or a mapping with the key `name`.
        names: what is accepted.

    Raises:
        UnknownNameError: no such name; the message holds the nearest.
        ConfigError: there is no name.
    """
    written = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = written.get("name")
    if not isinstance(name, str):
        raise ConfigError(
            f"`{slot}` is {written!r}; it must have a `name`, one of: {', '.join(names)}."
        )
    if name not in names:
        raise unknown_name(kind, name, names)
    given = {key: value for key, value in written.items() if key != "name"}
    return name, {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}


def field_names(kind: type[Any]) -> set[str]:
    """Return the fields of a dataclass."""
    return {item.name for item in fields(kind)}


def check_fields(owner: str, given: Collection[str], known: Collection[str]) -> None:
    """Raise `UnknownNameError` if one of the `given` fields of `owner` is not `known`."""
    for key in given:
        if key not in known:
            raise unknown_name(f"field of {owner}", key, known)
