"""What a process can ask of Linux: to die with its parent, to inherit orphans, to be measured.

On other systems these do nothing or return None; what rests on them is said where they are used.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> None:
    """Have this process killed when its parent dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def inherit_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_group(pid: int) -> None:
    """Kill the process group of a process, if it is still there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_families(pids: Sequence[int]) -> None:
    """Kill the process groups of processes, and descendants that have left the groups."""
    descendants = descendants_of(*pids)
    for pid in pids:
        kill_group(pid)
    for descendant in descendants:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(descendant, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children that all threads of a process have started.

    Fast, but Linux may skip some while others are ending.
    """
    children: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
                children += map(int, text.split())
    return children


def descendants_of(*pids: int) -> list[int]:
    """Return the process ids of all children, their children, and so on; none is skipped."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with suppress(OSError, IndexError):
                stat = Path(f"/proc/{name}/stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])  # the name may hold brackets
                children.setdefault(parent, []).append(int(name))
    found = [*pids]
    for parent in found:
        found += children.get(parent, [])
    return found[len(pids) :]


def threads_of(pid: int) -> int:
    """Return how many threads a process has, those of native libraries included; 1 if unknown."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 1


def own_memory_mib(pid: int) -> float | None:
    """Return the memory a process and its descendants share with no other process, in MiB.

    None where the system does not tell.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
    return own + sum(own_memory_mib(child) or 0.0 for child in children_of(pid))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
