"""Checks of the options that environments take, with one message for each kind of mistake."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from agentrl.errors import ConfigError, unknown_name

_Options = TypeVar("_Options")


def read_options(kind: type[_Options], values: Mapping[str, Any], environment: str) -> _Options:
    """Return options of a dataclass, which checks their values itself.

    Args:
        kind: the dataclass.
        values: option name to value.
        environment: its name, for messages.

    Raises:
        UnknownNameError: an option that does not exist, with the nearest one.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        check_name(environment, name, known)
    return kind(**values)


def check_name(environment: str, name: str, known: Iterable[str]) -> None:
    """Raise `UnknownNameError` unless there is an option of that name."""
    accepted = list(known)
    if name not in accepted:
        raise unknown_name(f"option of {environment}", name, accepted)


def check_choice(environment: str, name: str, value: Any, accepted: Iterable[str]) -> None:
    """Raise `UnknownNameError` unless an option has one of the accepted values."""
    known = list(accepted)
    if value not in known:
        raise unknown_name(f"{environment} `{name}`", str(value), known)


def check_integer(name: str, value: Any, least: int = 1, optional: bool = False) -> None:
    """Raise `ConfigError` unless an option is an integer in its range, or None if that is fine."""
    if optional and value is None:
        return
    if type(value) is not int or value < least:
        accepted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ConfigError(
            f"`{name}` must be {accepted}{' or null' if optional else ''}; got {value!r}."
        )


def check_number(name: str, value: Any) -> None:
    """Raise `ConfigError` unless an option is a finite number."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ConfigError(f"`{name}` must be a number; got {value!r}.")


def check_flag(name: str, value: Any) -> None:
    """Raise `ConfigError` unless an option is True or False."""
    if type(value) is not bool:
        raise ConfigError(f"`{name}` must be true or false; got {value!r}.")


def check_list(name: str, value: Any) -> None:
    """Raise `ConfigError` unless an option is a list; a string would be taken for its letters."""
    if not isinstance(value, list | tuple):
        raise ConfigError(f"`{name}` must be a list, for example [{value!r}]; got {value!r}.")
