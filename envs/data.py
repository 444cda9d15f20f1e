"""Where the data files of environments lie.

Benchmarks whose data we must not ship look for them, in this order, in the option `data_dir`, in
`$AGENTRL_DATA/<name>`, and in `~/.local/share/agentrl/<name>` (`$XDG_DATA_HOME` is respected).
"""

from __future__ import annotations

import os
from pathlib import Path

from agentrl.errors import DataError


def data_directory(name: str, chosen: str | Path | None = None) -> Path:
    """Return the directory in which data set `name` is expected; it need not exist.

    Args:
        name: data set, for example `alfworld`.
        chosen: the user's own directory (option `data_dir`), which wins.
    """
    if chosen is not None:
        return Path(chosen).expanduser().absolute()
    if root := os.environ.get("AGENTRL_DATA"):
        return Path(root).expanduser().absolute() / name
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "agentrl" / name


def existing_directory(name: str, chosen: str | Path | None = None, otherwise: str = "") -> Path:
    """Return the directory of data set `name`.

    Args:
        name: data set.
        chosen: the user's own directory.
        otherwise: what to do without the data, to complete "..., or ".

    Raises:
        DataError: it does not exist; the message says where it was looked for and how to get it.
    """
    path = data_directory(name, chosen)
    if not path.is_dir():
        raise DataError(
            f"There is no {name} data in {str(path)!r}. `agentrl data {name}` says how to get "
            "and check it; set `data_dir` or AGENTRL_DATA if it lies elsewhere"
            f"{', or ' if otherwise else ''}{otherwise}."
        )
    return path
