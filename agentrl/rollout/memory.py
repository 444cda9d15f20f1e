"""How much memory environment processes may take on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentrl.errors import ConfigError

SHARE_OF_AVAILABLE = 0.8
"""The part of the available memory that a pool takes when it is not told how much."""


def memory_budget_mib(gib: float) -> float:
    """Return the memory for all environment processes in MiB.

    Args:
        gib: the configured GiB; 0 takes `SHARE_OF_AVAILABLE` of what is available now.

    Raises:
        ConfigError: it is negative.
    """
    if gib < 0:
        raise ConfigError(
            f"`memory_gib` is {gib:g}; it must be a number of GiB >= 0 (0: automatic)."
        )
    return gib * 1024 if gib else SHARE_OF_AVAILABLE * available_mib()


def available_mib() -> float:
    """Return the memory this process could still take: of the machine, or of its control group.

    Infinite where the system does not tell.
    """
    limits = [_machine_mib(), *_group_limits_mib(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]
    return min(limits)


def _machine_mib() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return int(values["MemAvailable"].split()[0]) / 1024
    except (OSError, KeyError, ValueError):
        return float("inf")


def _group_limits_mib(membership: Path, root: Path) -> list[float]:
    """Return what is left of every memory limit that holds for this process (versions 1 and 2)."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            names = (
                root / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        top = names[0]
        # In a container the group may lie at the top of what is mounted.
        folders = {top} | {top / part for part in _parents(path)}
        left += [value for folder in folders if (value := _left(folder, *names[1:])) is not None]
    return left


def _parents(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _left(folder: Path, limit: str, used: str, cache: str) -> float | None:
    """Return what is left of one group's limit, in MiB; file cache that can be dropped is left."""
    try:
        allowed = (folder / limit).read_text().strip()
        taken = int((folder / used).read_text())
        statistics = _numbers((folder / "memory.stat").read_text())
    except (OSError, ValueError):
        return None
    if allowed == "max" or int(allowed) >= 2**60:  # version 1 writes a huge number
        return None
    return max(0.0, (int(allowed) - taken + statistics.get(cache, 0)) / 2**20)


def _numbers(text: str) -> Mapping[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {name: int(value) for name, value in pairs}
