"""Build an environment's task panels from settings, with one clear error for each mistake."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from agentrl.envs.base import TextEnv
from agentrl.errors import ConfigError, DataError, unknown_name
from agentrl.types import TaskPanel


def build_panel(
    env_class: type[TextEnv], split: str, options: Mapping[str, Any], setting: str
) -> TaskPanel:
    """Return the panel of a split.

    Args:
        env_class: the environment.
        split: for example `train`.
        options: given to the environment's `panel`.
        setting: where the options come from, for messages.

    Raises:
        UnknownNameError: the environment's panels have no such option.
        ConfigError: an option has a wrong value.
        DataError: the data of the environment are missing or damaged.
    """
    parameters = inspect.signature(env_class.panel).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        known = {f"{setting}.{parameter.name}" for parameter in parameters} - {f"{setting}.split"}
        for name in options:
            if f"{setting}.{name}" not in known:
                raise unknown_name("setting", f"{setting}.{name}", known)
    try:
        return env_class.panel(split, **options)
    except DataError:  # says what is wrong with the data; the options are not to blame
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"`{setting}` is {dict(options)!r}: {error}") from error
