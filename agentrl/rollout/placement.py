"""What the pool of environment processes goes by: kinds of environments, a budget, and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from agentrl.envs import env_class
from agentrl.envs.base import Placement, TextEnv
from agentrl.errors import ConfigError

_DEFAULT_WARM = TextEnv.__dict__["warm"].__func__


@dataclass(frozen=True, slots=True)
class Kind:
    """An environment, as the pool sees it.

    Attributes:
        env_id: its id.
        registration: `[id, entry point, kwargs]`, which a worker needs to know it.
        placement: what a process costs.
        warms: True if there is something to start before the first episode.
    """

    env_id: str
    registration: list[Any]
    placement: Placement
    warms: bool

    @classmethod
    def of(cls, env_id: str) -> Kind:
        """Look an environment up.

        Raises:
            UnknownNameError: there is no such environment.
            ConfigError: worker processes cannot import it.
        """
        found = env_class(env_id)
        if found.__module__ == "__main__":
            raise ConfigError(
                f"Environment {env_id!r} is defined in the main script, where worker "
                "processes cannot import it; move its class to a module of its own."
            )
        spec = gymnasium.registry[env_id.rpartition(":")[2]]
        registration = [spec.id, f"{found.__module__}:{found.__qualname__}", spec.kwargs]
        # The class need not derive from `TextEnv`.
        warm = getattr(found, "warm", None)
        warms = warm is not None and getattr(warm, "__func__", None) is not _DEFAULT_WARM
        return cls(env_id, registration, getattr(found, "placement", Placement()), warms)


class Budget:
    """Processes and memory that are taken; the memory of a dying process counts until it has gone.

    Args:
        memory_mib: the memory all processes together may take.
    """

    def __init__(self, memory_mib: float) -> None:
        self.memory_mib = memory_mib
        self.taken = 0
        self.taken_mib = 0
        self._leaving = 0
        self._leaving_mib = 0

    def fits(self, placement: Placement, processes: int, *, in_time: bool = False) -> bool:
        """Return True if one more process can be started.

        Args:
            placement: of the new process.
            processes: most processes there may be with it.
            in_time: count the memory of those that are ending as free.
        """
        taken_mib = self.taken_mib - self._leaving_mib * in_time
        return (
            self.taken - self._leaving < processes
            and taken_mib + placement.memory_mib <= self.memory_mib
        )

    def take(self, placement: Placement) -> None:
        """Count a process."""
        self.taken += 1
        self.taken_mib += placement.memory_mib

    def leave(self, placement: Placement) -> None:
        """Note that a process has been told to end."""
        self._leaving += 1
        self._leaving_mib += placement.memory_mib

    def free(self, placement: Placement, *, was_leaving: bool) -> None:
        """Stop counting a process that has gone."""
        self.taken -= 1
        self.taken_mib -= placement.memory_mib
        if was_leaving:
            self._leaving -= 1
            self._leaving_mib -= placement.memory_mib


@dataclass(slots=True)
class PoolCounts:
    """What a pool has done so far.

    Attributes:
        started: processes started, forked copies included.
        spares: of these, started before an episode asked for them.
        reused: episodes that found a process that had played, or been warmed up, before.
        forked: running environments copied by forking their process.
        replayed: running environments copied by repeating their actions elsewhere.
        replaced: processes ended, by reason: `failed` (raised, hung, died or broke the contract),
            `episodes` (had its share), `memory` (above its budget), `room` (made for another).
        waited: seconds that episodes have waited for a process, its start included.
    """

    started: int = 0
    spares: int = 0
    reused: int = 0
    forked: int = 0
    replayed: int = 0
    replaced: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0

    def metrics(self) -> dict[str, float]:
        """Return the counts by name; reasons as `replaced/<reason>`."""
        names = ("started", "spares", "reused", "forked", "replayed", "waited")
        values = {name: float(getattr(self, name)) for name in names}
        return values | {f"replaced/{why}": float(n) for why, n in sorted(self.replaced.items())}
