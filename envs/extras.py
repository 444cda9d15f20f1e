"""Packages that only some environments need."""

from __future__ import annotations

import importlib
from typing import Any

from agentrl.errors import MissingExtraError


def require(module: str, *, extra: str, needed_for: str) -> Any:
    """Import and return a module of an optional extra.

    Args:
        module: for example `scienceworld`.
        extra: the extra that installs it.
        needed_for: what cannot work without it, for example `agentrl/ScienceWorld-v0`.

    Raises:
        MissingExtraError: the module is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{needed_for} needs the package {module.partition('.')[0]!r} ({error}). "
            f"Install it with `pip install 'agentrl[{extra}]'`."
        ) from error
