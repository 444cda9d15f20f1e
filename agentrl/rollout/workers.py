"""A pool of environment worker processes.

Each episode has a process to itself, and a deadline on every call.  An environment that raises,
hangs, dies or returns wrong types ends its own episode with an `EnvironmentFailure`; its process is
killed and replaced, and no other episode notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Self

from agentrl.envs import env_class
from agentrl.errors import ConfigError
from agentrl.rollout.descriptors import make_room
from agentrl.rollout.handle import EnvHandle, EnvState
from agentrl.rollout.memory import memory_budget_mib
from agentrl.rollout.placement import PoolCounts
from agentrl.rollout.places import Places
from agentrl.rollout.zygote_process import ZygoteProcess
from agentrl.types import Task

__all__ = ["EnvHandle", "EnvPool", "EnvState"]


class EnvPool:
    """Up to `size` environments at a time, each in a process of its own.

    Use as an async context manager.  Processes are forked on demand from one that has imported the
    environments.  A process plays one environment only, and is used again for it, if possible for
    a task it has played before, until it has had its share of episodes or holds more than twice
    the memory its environment's `placement` names.  Beyond the `size` in play, a placement's
    `warm_spares` processes are started and warmed up in the background.  All processes together,
    those that are ending included, stay within the memory; who cannot have a process waits, first
    come, first served.

    Args:
        size: most environments in play; fewer where the memory does not suffice for them.
        call_timeout: seconds one reset or step may take; 0 leaves it to the environment's
            placement, and takes 30 where that does not say.
        start_timeout: seconds the imports of the first process, and each fork or warm-up, may take.
        episodes_per_worker: a process is replaced after this many episodes, unless the
            environment's placement says otherwise.
        env_ids: environments whose modules are imported before the first fork.
        preload: further modules to import there.
        log_path: file for what environments print; default nowhere.
        memory_gib: memory for all processes; 0 takes 80 % of what is available now.

    Raises:
        ConfigError: a setting is wrong, the memory does not suffice for one process, or too few
            files may be open (when the pool is entered).
    """

    def __init__(
        self,
        size: int,
        *,
        call_timeout: float = 0.0,
        start_timeout: float = 120.0,
        episodes_per_worker: int = 200,
        env_ids: Sequence[str] = (),
        preload: Sequence[str] = (),
        log_path: Path | None = None,
        memory_gib: float = 0.0,
    ) -> None:
        if size < 1:
            raise ConfigError(f"`size` of the environment pool must be at least 1; got {size}.")
        self.start_timeout = start_timeout
        memory_mib = memory_budget_mib(memory_gib)
        self._places = Places(
            size,
            memory_mib,
            call_timeout=call_timeout,
            start_timeout=start_timeout,
            episodes_per_worker=episodes_per_worker,
        )
        kinds = [self._places.kind(env_id) for env_id in env_ids]
        largest = max((kind.placement.memory_mib for kind in kinds), default=0)
        if largest:
            self._places.size = min(size, int(memory_mib // largest))
        self._modules = [*preload, *(m for env_id in env_ids for m in _modules_of(env_id))]
        self._log_path = log_path
        self._log: IO[bytes] | None = None

    async def __aenter__(self) -> Self:
        make_room(self.size)
        if self._log_path is not None:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._log_path.open("ab")
        zygote = ZygoteProcess(self._modules, self._log)
        await zygote.start(self.start_timeout)
        self._places.open(zygote)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill all processes (within about five seconds)."""
        await asyncio.shield(self._places.close())
        if self._log is not None:
            self._log.close()
            self._log = None

    @property
    def size(self) -> int:
        """Most environments in play: as asked for, or what the memory suffices for."""
        return self._places.size

    @property
    def call_timeout(self) -> float:
        """Seconds one reset or step may take; 0 leaves it to the environment."""
        return self._places.call_timeout

    @call_timeout.setter
    def call_timeout(self, seconds: float) -> None:
        self._places.call_timeout = seconds

    @property
    def counts(self) -> PoolCounts:
        """What has been done so far."""
        return self._places.counts

    @property
    def started(self) -> int:
        """Processes started so far."""
        return self.counts.started

    async def acquire(self, task: Task | None = None, *, timeout: float | None = None) -> EnvHandle:
        """Wait for a place and return a handle; give it back with `await handle.close()`.

        Args:
            task: what will be played.  Without one, the place is taken by the handle's first
                `reset`.
            timeout: most seconds to wait; None waits until other episodes end.

        Raises:
            EnvironmentFailure: no process could be started, or warmed up, or in time.
            ConfigError: one process of the environment is more than the memory allows.
        """
        handle = EnvHandle(self._places)
        if task is not None:
            await handle.take_place(task, timeout)
        return handle

    @asynccontextmanager
    async def lease(
        self, task: Task | None = None, *, state: EnvState | None = None
    ) -> AsyncIterator[EnvHandle]:
        """Acquire a handle for the length of an `async with` block.

        Args:
            task: what will be played; see `acquire`.
            state: what the environment shall go on from; without it, `reset` comes first.

        Raises:
            EnvironmentFailure: the state could not be restored.
        """
        if state is None:
            handle = await self.acquire(task)
        else:
            handle = await EnvHandle.in_state(self._places, state)
        try:
            yield handle
        finally:
            await asyncio.shield(handle.close())


def _modules_of(env_id: str) -> list[str]:
    """Return the modules to import for an environment: its own, and those it names."""
    cls = env_class(env_id)
    return [cls.__module__, *getattr(cls, "preload", ())]
