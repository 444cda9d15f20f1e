"""Where translated and packed games are kept."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agentrl.errors import MissingExtraError


def cache_root() -> Path:
    """Return `$AGENTRL_CACHE/alfworld` (default `~/.cache/agentrl/alfworld`)."""
    root = os.environ.get("AGENTRL_CACHE") or Path.home() / ".cache" / "agentrl"
    return Path(root).expanduser() / "alfworld"


@cache
def translator_versions() -> str:
    """Return the versions of the packages that a translation depends on.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    try:
        return f"{version('textworld')}-{version('fast-downward-textworld')}"
    except PackageNotFoundError as error:
        raise MissingExtraError(
            f"agentrl/ALFWorld-v0 needs the package {str(error.name)!r}. Install it with "
            "`pip install 'agentrl[alfworld]'`."
        ) from error


def textworld_is_known() -> bool:
    """Return whether TextWorld is a release whose texts our engine is known to reproduce."""
    return translator_versions().startswith("1.7.")
