"""Room for the connections to environment processes among the files this process may have open."""

from __future__ import annotations

import os
import resource

from agentrl.errors import ConfigError

_MARGIN = 128
"""Files that may be opened meanwhile: logs, games, the connections of processes that are ending."""


def make_room(connections: int) -> None:
    """Raise the soft limit of open files where it is too low for so many more.

    Raises:
        ConfigError: the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _open_files() + connections + _MARGIN
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigError(
            f"{connections} environment processes need {needed} open files, but this process may "
            f"have {hard} (`ulimit -Hn`). Lower `environment.workers`, or have the limit raised."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _open_files() -> int:
    """Return how many files are open; 0 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
