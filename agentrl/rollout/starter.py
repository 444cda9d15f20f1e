"""Starting environment processes, warming them up, and burying them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from agentrl.errors import EnvironmentFailure
from agentrl.rollout.placement import Kind, PoolCounts
from agentrl.rollout.processes import WorkerProcess
from agentrl.rollout.zygote_process import ZygoteProcess

_END_SECONDS = 5.0
"""A killed process of which nothing is heard for so long no longer counts."""


class Starter:
    """Starts processes and watches them until they end; who may have one is not decided here.

    Args:
        start_timeout: seconds a start, and a warm-up, may take.
        counts: where starts are counted.
        ended: called with every process that has gone.

    Attributes:
        zygote: what starts processes; None when the pool is not running.
        start_timeout: as given.
        fork_seconds: moving average of what forking a process takes, by environment.
    """

    def __init__(
        self, start_timeout: float, counts: PoolCounts, ended: Callable[[WorkerProcess], None]
    ) -> None:
        self.start_timeout = start_timeout
        self.zygote: ZygoteProcess | None = None
        self.fork_seconds: dict[str, float] = {}
        self._counts = counts
        self._ended = ended
        self._tasks: set[asyncio.Task[Any]] = set()
        self._living: set[WorkerProcess] = set()
        self._warm_ups = asyncio.Semaphore(os.cpu_count() or 1)

    @property
    def running(self) -> bool:
        """True from the pool's start to its end."""
        return self.zygote is not None

    async def close(self) -> None:
        """Kill all processes (within about five seconds)."""
        zygote, self.zygote = self.zygote, None
        if zygote is not None:
            await zygote.close()
        if self._tasks:  # they see their processes end
            await asyncio.wait(self._tasks, timeout=_END_SECONDS)
        for worker in self._living:
            worker.close()
        self._living.clear()
        await asyncio.sleep(0)  # connections are closed by the loop's next round

    async def spawn(self, kind: Kind) -> WorkerProcess:
        """Start a process; it is not warm yet.

        Raises:
            EnvironmentFailure: it could not be started, or not in time.
        """
        if self.zygote is None:
            raise not_running()
        worker = await self.zygote.spawn(self.start_timeout)
        worker.env_id = kind.env_id
        self._add(worker)
        return worker

    async def warm(self, worker: WorkerProcess, kind: Kind) -> None:
        """Warm a process up, if there is something to; as many at a time as processors.

        Raises:
            EnvironmentFailure: it failed, hung or died.
        """
        if kind.warms:
            async with self._warm_ups:
                await self._warm(worker, kind)

    def adopt(self, worker: WorkerProcess) -> None:
        """Add a process that was forked from another worker."""
        if self.zygote is None:
            worker.close()
            raise not_running()
        self._add(worker)
        self.zygote.adopt(worker)

    def measured_fork(self, env_id: str, seconds: float) -> None:
        """Note how long a process took to fork."""
        before = self.fork_seconds.get(env_id, seconds)
        self.fork_seconds[env_id] = 0.8 * before + 0.2 * seconds

    def kill(self, worker: WorkerProcess) -> None:
        """Kill a process; `ended` is called as soon as it has gone."""
        if self.zygote is not None:
            self.zygote.kill(worker)
            asyncio.get_running_loop().call_later(_END_SECONDS, _give_up, worker.ended)

    async def how_it_ended(self, worker: WorkerProcess) -> str:
        """Say why a connection is gone."""
        status = None if self.zygote is None else await self.zygote.exit_status(worker)
        if status is None:
            return "its process died"
        return (
            f"its process was killed by signal {-status}"
            if status < 0
            else (f"its process exited with code {status}")
        )

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something beside, until it is done or the pool is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _add(self, worker: WorkerProcess) -> None:
        self._counts.started += 1
        self._living.add(worker)
        worker.ended.add_done_callback(lambda _: self._gone(worker))

    def _gone(self, worker: WorkerProcess) -> None:
        self._living.discard(worker)
        self._ended(worker)

    async def _warm(self, worker: WorkerProcess, kind: Kind) -> None:
        message = {"call": "warm", "environment": kind.registration}
        try:
            answer = await worker.call(message, self.start_timeout)
            text, failure = answer.get("error"), answer.get("kind")
        except TimeoutError:
            text, failure = f"no answer within {self.start_timeout:g} s", "timeout"
        except ConnectionError:
            text, failure = await self.how_it_ended(worker), "died"
        if text is not None:
            raise EnvironmentFailure(
                f"`warm` of environment {kind.env_id!r}: {text}", failure or "raised"
            )


def not_running() -> EnvironmentFailure:
    """Return what calls raise after the pool was closed."""
    return EnvironmentFailure("The environment pool is not running.", "died")


def _give_up(ended: asyncio.Future[int]) -> None:
    if not ended.done():
        ended.set_result(-9)
