"""Where translated and packed games are kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agentrl.errors import DataError, MissingExtraError


def cache_root() -> Path:
    """Return `$AGENTRL_CACHE/alfworld` (default `~/.cache/agentrl/alfworld`)."""
    root = os.environ.get("AGENTRL_CACHE") or Path.home() / ".cache" / "agentrl"
    return Path(root).expanduser() / "alfworld"


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Give a path to write to, and move what is there to `target`, so that it appears whole.

    Any number of processes may do this at once.

    Raises:
        DataError: the directory cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
            yield Path(folder) / target.name
            os.replace(Path(folder) / target.name, target)
    except OSError as error:
        raise DataError(
            f"ALFWorld games cannot be stored in {str(target.parent)!r} ({error}); make room or "
            "set AGENTRL_CACHE to a directory that can be written."
        ) from error


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
