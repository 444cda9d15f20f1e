"""Where generated games are kept."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def textworld_version() -> str:
    """Return the installed TextWorld's version; games of different versions are kept apart."""
    return version("textworld")


def cache_directory() -> Path:
    """Return `$AGENTRL_CACHE/textworld-VERSION` (default `~/.cache/agentrl`)."""
    root = os.environ.get("AGENTRL_CACHE") or Path.home() / ".cache" / "agentrl"
    return Path(root).expanduser() / f"textworld-{textworld_version()}"
