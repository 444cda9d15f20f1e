"""The process that ends what environment workers have started when all others are gone."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

_SCRIPT = """
trap '' HUP INT TERM
groups=
while read -r change pid; do
  kept=
  for group in $groups; do [ "$group" = "$pid" ] || kept="$kept $group"; done
  groups=$kept
  [ "$change" = - ] || groups="$groups $pid"
done
for group in $groups; do kill -s KILL -- "-$group"; done 2>/dev/null
"""


class Guard:
    """A shell that kills the groups it was told of once this process is gone, however it went."""

    def __init__(self) -> None:
        self.pid = 0
        self._pipe = -1
        with suppress(OSError):  # no shell, no guard
            shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT], stdin=subprocess.PIPE, start_new_session=True
            )
            assert shell.stdin is not None
            self.pid, self._pipe = shell.pid, os.dup(shell.stdin.fileno())
            shell.stdin.close()
            shell.returncode = 0  # `Zygote._reap` buries it

    def tell(self, change: str, pid: int) -> None:
        """Add (`+`) or drop (`-`) a group."""
        with suppress(OSError):
            os.write(self._pipe, f"{change} {pid}\n".encode())

    def leave(self) -> None:
        """Close a forked worker's copy of the pipe, which would keep the guard waiting."""
        with suppress(OSError):
            os.close(self._pipe)
