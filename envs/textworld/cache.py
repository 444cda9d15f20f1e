"""Where generated games are kept."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path


def cache_directory() -> Path:
    """Return `$AGENTRL_CACHE/textworld-VERSION` (default `~/.cache/agentrl`)."""
    root = os.environ.get("AGENTRL_CACHE") or Path.home() / ".cache" / "agentrl"
    return Path(root).expanduser() / f"textworld-{version('textworld')}"
