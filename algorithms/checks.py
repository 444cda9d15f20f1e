"""Range checks of settings: one sentence that names the setting, the value and what is accepted."""

from __future__ import annotations

import math

from agentrl.errors import ConfigError


def in_range(
    setting: str,
    value: float,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
) -> None:
    """Raise `ConfigError` unless `value` is a number in [low, high] (or (low, high])."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and low <= value <= high and not (open_low and value == low):
        return
    left = "(" if open_low or low == -math.inf else "["
    right = ")" if high == math.inf else "]"
    raise ConfigError(
        f"`{setting}` is {value!r}; it must be a number in {left}{low}, {high}{right}."
    )


def whole(setting: str, value: int, low: int) -> None:
    """Raise `ConfigError` unless `value` is an integer of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"`{setting}` is {value!r}; it must be a whole number of at least {low}.")


def one_of(setting: str, value: object, accepted: tuple[str, ...]) -> None:
    """Raise `ConfigError` unless `value` is one of `accepted`."""
    if value not in accepted:
        raise ConfigError(f"`{setting}` is {value!r}; accepted: {', '.join(accepted)}.")
