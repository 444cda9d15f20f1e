"""Turn plain mappings into settings dataclasses, with one clear error for each mistake."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from agentrl.errors import ConfigError, unknown_name

Settings = TypeVar("Settings")


def build(cls: type[Settings], data: Mapping[str, Any], path: str = "") -> Settings:
    """Build a settings dataclass from a mapping.

    Nested dataclasses are built recursively.  Integers are accepted where floats are asked for.

    Args:
        cls: a dataclass whose fields are scalars, tuples, mappings, optionals or dataclasses.
        data: keys are field names.
        path: dotted name of the place in the tree, for messages.

    Raises:
        UnknownNameError: a key is no field; the message names the closest field.
        ConfigError: a value has the wrong type, or is out of its range.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"`{path or 'config'}` is {data!r}; it must be a mapping of settings.")
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values = {}
    for key, value in data.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in names:
            known = [f"{path}.{name}" if path else name for name in names]
            raise unknown_name(
                "setting", where, known, "`agentrl train CONFIG --print-config` shows all."
            )
        values[key] = convert(value, hints[key], where)
    return cls(**values)


def convert(value: Any, hint: Any, path: str) -> Any:
    """Check `value` against a type hint and convert it; `path` names the setting."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(value, get_args(hint), path)
    if origin is typing.Literal:
        return _convert_choice(value, get_args(hint), path)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else build(hint, value, path)
    if origin is tuple:
        return _convert_tuple(value, get_args(hint), path)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(path, value, "a mapping")
        return dict(value)
    return _convert_scalar(value, hint, path)


def _convert_union(value: Any, options: tuple[Any, ...], path: str) -> Any:
    if value is None and type(None) in options:
        return None
    inner = [option for option in options if option is not type(None)]
    if len(inner) == 1:
        return convert(value, inner[0], path)
    for option in inner:
        try:
            return convert(value, option, path)
        except ConfigError:
            continue
    raise _wrong(path, value, " or ".join(getattr(o, "__name__", str(o)) for o in inner))


def _convert_choice(value: Any, choices: tuple[Any, ...], path: str) -> Any:
    # YAML reads a bare `off` or `on` as a boolean.
    plain = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if plain not in choices:
        raise _wrong(path, value, "one of " + ", ".join(repr(choice) for choice in choices))
    return plain


def _convert_tuple(value: Any, items: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(path, value, "a list")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(convert(v, items[0], f"{path}[{i}]") for i, v in enumerate(value))
    if len(value) != len(items):
        raise _wrong(path, value, f"a list of {len(items)} values")
    pairs = zip(value, items, strict=True)
    return tuple(convert(v, item, f"{path}[{i}]") for i, (v, item) in enumerate(pairs))


def _convert_scalar(value: Any, hint: Any, path: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, str):
        try:  # YAML reads 1e-4 as a string
            return float(value)
        except ValueError:
            raise _wrong(path, value, "a number") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    if not right:
        words = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
        raise _wrong(path, value, words.get(hint, str(hint)))
    return value


def _wrong(path: str, value: Any, accepted: str) -> ConfigError:
    return ConfigError(f"`{path}` is {value!r}; it must be {accepted}.")
