"""Read a run configuration from YAML and dotted overrides; write it back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from agentrl.config.build import build
from agentrl.config.schema import RunConfig
from agentrl.errors import ConfigError

SHORT = {"engine": "kind", "algorithm": "name"}
"""Sections whose main setting may stand for them: `engine=vllm` is `engine.kind=vllm`."""


def load_config(path: str | Path | None, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a configuration file and apply `key.subkey=value` overrides.

    Raises:
        ConfigError: the file is missing or is no YAML mapping, or a value is not accepted.
        UnknownNameError: a key does not exist; the message names the closest one.
    """
    data = _read(Path(path)) if path is not None else {}
    return build(RunConfig, merge(data, parse_overrides(overrides)))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"There is no configuration file {str(path)!r}.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())  # in one line
        raise ConfigError(f"{str(path)!r} is not valid YAML: {text}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{str(path)!r} must hold a mapping of settings.")
    return _written_out(data)


def _written_out(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with every section as a mapping."""
    return {
        key: {SHORT[key]: value} if key in SHORT and isinstance(value, str) else value
        for key, value in data.items()
    }


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Parse `a.b=value` strings (values are YAML) into a nested mapping."""
    data: dict[str, Any] = {}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise ConfigError(f"{item!r} is not an override; write it as `section.key=value`.")
        value: Any
        try:
            value = yaml.safe_load(text) if text else ""
        except yaml.YAMLError as error:
            raise ConfigError(f"The value of override {item!r} is not valid YAML.") from error
        for part in reversed(key.split(".")):
            value = {part: value}
        data = merge(data, _written_out(value))
    return data


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on top, mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def save_config(config: RunConfig, path: Path) -> None:
    """Write the effective configuration as YAML that `load_config` reads back unchanged."""
    text = yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def to_plain(value: Any) -> Any:
    """Return settings as plain mappings, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
