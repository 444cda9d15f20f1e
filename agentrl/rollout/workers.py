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
from typing import IO, Any, Self

import gymnasium

from agentrl.envs import env_class
from agentrl.envs.base import Info
from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.rollout.processes import WorkerProcess, ZygoteProcess
from agentrl.types import Task

_CLOSE_CALL_SECONDS = 5.0


class EnvPool:
    """Up to `size` environments at a time, each in a process of its own.

    Use as an async context manager.  Processes are forked on demand from one that has imported the
    environments, and reused for `episodes_per_worker` episodes (environments may leak memory).

    Args:
        size: most processes.
        call_timeout: seconds one reset or step may take.
        start_timeout: seconds the imports of the first process, and each fork, may take.
        episodes_per_worker: a process is replaced after this many episodes.
        env_ids: environments whose modules are imported before the first fork.
        preload: further modules to import there.
        log_path: file for what environments print; default nowhere.
    """

    def __init__(
        self,
        size: int,
        *,
        call_timeout: float = 30.0,
        start_timeout: float = 120.0,
        episodes_per_worker: int = 200,
        env_ids: Sequence[str] = (),
        preload: Sequence[str] = (),
        log_path: Path | None = None,
    ) -> None:
        if size < 1:
            raise ConfigError(f"`size` of the environment pool must be at least 1; got {size}.")
        self.size = size
        self.call_timeout = call_timeout
        self.start_timeout = start_timeout
        self.episodes_per_worker = episodes_per_worker
        self._modules = [*preload, *(m for env_id in env_ids for m in _modules_of(env_id))]
        self._log_path = log_path
        self._log: IO[bytes] | None = None
        self._zygote: ZygoteProcess | None = None
        self._slots = asyncio.Semaphore(size)
        self._idle: list[WorkerProcess] = []
        self._registrations: dict[str, list[Any]] = {}
        self.started = 0
        """Processes started so far."""

    async def __aenter__(self) -> Self:
        if self._log_path is not None:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._log_path.open("ab")
        self._zygote = ZygoteProcess(self._modules, self._log)
        await self._zygote.start(self.start_timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill all processes (within about five seconds)."""
        zygote, self._zygote = self._zygote, None
        for worker in self._idle:
            worker.close()
        self._idle.clear()
        if zygote is not None:
            await asyncio.shield(zygote.close())
        if self._log is not None:
            self._log.close()
            self._log = None

    async def acquire(self) -> EnvHandle:
        """Wait for a free place and return a handle; give it back with `await handle.close()`.

        Raises:
            EnvironmentFailure: no process could be started.
        """
        await self._slots.acquire()
        try:
            return EnvHandle(self, await self._take())
        except BaseException:
            self._slots.release()
            raise

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[EnvHandle]:
        """Acquire a handle for the length of an `async with` block."""
        handle = await self.acquire()
        try:
            yield handle
        finally:
            await asyncio.shield(handle.close())

    def registration(self, env_id: str) -> list[Any]:
        """Return `[id, entry point, kwargs]`, which a worker needs to know an environment."""
        if env_id not in self._registrations:
            cls = env_class(env_id)
            if cls.__module__ == "__main__":
                raise ConfigError(
                    f"Environment {env_id!r} is defined in the main script, where worker "
                    "processes cannot import it; move its class to a module of its own."
                )
            spec = gymnasium.registry[env_id.rpartition(":")[2]]
            entry_point = f"{cls.__module__}:{cls.__qualname__}"
            self._registrations[env_id] = [spec.id, entry_point, spec.kwargs]
        return self._registrations[env_id]

    async def _take(self) -> WorkerProcess:
        if self._zygote is None:
            raise EnvironmentFailure("The environment pool is not running.", "died")
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        self.started += 1
        return await self._zygote.spawn(self.start_timeout)

    def _give_back(self, worker: WorkerProcess, healthy: bool) -> None:
        reusable = healthy and worker.alive and worker.episodes < self.episodes_per_worker
        if reusable and self._zygote is not None:
            self._idle.append(worker)
        else:
            self._discard(worker)
        self._slots.release()

    def _discard(self, worker: WorkerProcess) -> None:
        if self._zygote is not None:
            self._zygote.kill(worker)
        worker.close()

    async def _how_it_ended(self, worker: WorkerProcess) -> str:
        status = None if self._zygote is None else await self._zygote.exit_status(worker)
        if status is None:
            return "its process died"
        return (
            f"its process was killed by signal {-status}"
            if status < 0
            else (f"its process exited with code {status}")
        )


class EnvHandle:
    """One environment in a worker process; every call has a deadline.

    After an `EnvironmentFailure` the handle can only be closed.
    """

    def __init__(self, pool: EnvPool, worker: WorkerProcess) -> None:
        self._pool = pool
        self._worker: WorkerProcess | None = worker
        self._task: Task | None = None
        self._healthy = True

    async def reset(self, task: Task) -> tuple[str, Info]:
        """Make a new environment and start the task; `info` has every key of `INFO_KEYS`.

        Raises:
            EnvironmentFailure: it raised, hung, died or broke the contract (see `kind`).
        """
        self._task = task
        message = {
            "call": "reset",
            "task": task.to_json(),
            "environment": self._pool.registration(task.env_id),
        }
        if self._worker is not None:
            self._worker.episodes += 1
        observation, info = await self._call(message, self._pool.call_timeout)
        return observation, info

    async def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Act; returns `(observation, reward, terminated, truncated, info)`.

        Raises:
            EnvironmentFailure: it raised, hung, died or broke the contract (see `kind`).
        """
        observation, reward, terminated, truncated, info = await self._call(
            {"call": "step", "action": action}, self._pool.call_timeout
        )
        return observation, reward, terminated, truncated, info

    async def close(self) -> None:
        """Close the environment and give the process back; later calls do nothing."""
        worker = self._worker
        if worker is None:
            return
        healthy = self._healthy and not worker.busy
        if healthy and self._task is not None:
            try:
                answer = await worker.call({"call": "close"}, _CLOSE_CALL_SECONDS)
                healthy = "error" not in answer
            except (TimeoutError, ConnectionError):
                healthy = False
        if self._worker is not None:  # not closed by someone else meanwhile
            self._worker = None
            self._pool._give_back(worker, healthy)

    async def _call(self, message: dict[str, Any], timeout: float) -> Any:
        worker = self._worker
        if worker is None or not self._healthy:
            raise EnvironmentFailure("The environment has failed or was closed before.", "died")
        try:
            answer = await worker.call(message, timeout)
        except (TimeoutError, ConnectionError) as error:
            self._healthy = False
            if isinstance(error, TimeoutError):
                self._pool._discard(worker)
                raise self._failure(message, f"no answer within {timeout:g} s", "timeout") from None
            raise self._failure(message, await self._pool._how_it_ended(worker), "died") from None
        if "error" in answer:
            self._healthy = False
            raise self._failure(message, answer["error"], answer["kind"])
        return answer["value"]

    def _failure(self, message: dict[str, Any], text: str, kind: str) -> EnvironmentFailure:
        where = f"environment {self._task.env_id!r}, task {self._task.id!r}" if self._task else "?"
        return EnvironmentFailure(f"`{message['call']}` of {where}: {text}", kind)


def _modules_of(env_id: str) -> list[str]:
    """Return the modules to import for an environment: its own, and those it names."""
    cls = env_class(env_id)
    return [cls.__module__, *getattr(cls, "preload", ())]
