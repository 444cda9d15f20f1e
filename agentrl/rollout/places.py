"""Who may have an environment process, and which: first come, first served, within a budget."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from dataclasses import dataclass

from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.rollout.placement import Budget, Kind, PoolCounts
from agentrl.rollout.processes import WorkerProcess
from agentrl.rollout.starter import Starter, not_running
from agentrl.rollout.zygote_process import ZygoteProcess
from agentrl.types import Task

_MEMORY_FACTOR = 2.0
"""A process that takes this many times its `Placement.memory_mib` after an episode is replaced."""
CALL_SECONDS = 30.0
"""What one reset or step may take where neither setting nor placement says it."""
RESETS_PER_PROCESSOR = 16
"""Resets under way at a time; of a thousand at once, most would miss their deadline waiting."""


@dataclass(eq=False, slots=True)
class _Request:
    """An episode that waits for a place; `room_only` where it brings its own process."""

    kind: Kind
    task_id: str
    room_only: bool
    granted: asyncio.Future[WorkerProcess | None]
    placed: bool = False


@dataclass(eq=False, slots=True)
class _Start:
    """A process that is being started, and the episode it is for; None for a spare."""

    kind: Kind
    request: _Request | None


class Places:
    """The processes of a pool: in play, idle, being started, ending.

    Args:
        size: most environments in play.
        memory_mib: memory for all processes.
        call_timeout: seconds one reset or step may take; 0 asks the environment's placement.
        start_timeout: seconds a start, and a warm-up, may take.
        episodes_per_worker: a process is replaced after this many episodes.

    Attributes:
        size: most environments in play.
        starter: starts the processes.
        counts: what has been done so far.
        resets: held during each reset.
    """

    def __init__(
        self,
        size: int,
        memory_mib: float,
        *,
        call_timeout: float,
        start_timeout: float,
        episodes_per_worker: int,
    ) -> None:
        self.size = size
        self.call_timeout = call_timeout
        self.episodes_per_worker = episodes_per_worker
        self.counts = PoolCounts()
        self.resets = asyncio.Semaphore(RESETS_PER_PROCESSOR * (os.cpu_count() or 1))
        self.starter = Starter(start_timeout, self.counts, self._ended)
        self._budget = Budget(memory_mib)
        self._kinds: dict[str, Kind] = {}
        self._queue: deque[_Request] = deque()
        self._in_play = 0
        self._idle: list[WorkerProcess] = []
        self._starts: list[_Start] = []
        self._leaving: set[WorkerProcess] = set()
        self._spare_failures: dict[str, EnvironmentFailure | None] = {}

    def open(self, zygote: ZygoteProcess) -> None:
        """Begin, with spares."""
        self.starter.zygote = zygote
        self._pump()

    async def close(self) -> None:
        """Kill all processes, and fail whoever waits for one (within about five seconds)."""
        for request in self._queue:
            if not request.granted.done():
                request.granted.set_exception(not_running())
        self._queue.clear()
        for worker in self._idle:
            worker.close()
        self._idle.clear()
        await self.starter.close()

    def kind(self, env_id: str) -> Kind:
        """Look an environment up, once.

        Raises:
            ConfigError: workers cannot import it, or one process is more than the memory allows.
        """
        if env_id not in self._kinds:
            kind = Kind.of(env_id)
            if kind.placement.memory_mib > self._budget.memory_mib:
                raise ConfigError(
                    f"A process of environment {env_id!r} takes {kind.placement.memory_mib} MiB, "
                    f"but all environment processes together may take "
                    f"{self._budget.memory_mib:.0f} MiB. Raise `environment.memory_gib`, or free "
                    "memory."
                )
            self._kinds[env_id] = kind
        return self._kinds[env_id]

    def deadline(self, env_id: str) -> float:
        """Return the seconds that one call of an environment may take."""
        return self.call_timeout or self.kind(env_id).placement.call_timeout or CALL_SECONDS

    async def place(
        self, task: Task, *, room_only: bool = False, timeout: float | None = None
    ) -> WorkerProcess | None:
        """Wait for a place, for `EnvHandle`: a process, or with `room_only` leave to add one.

        Raises:
            EnvironmentFailure: as for `acquire`.
        """
        if not self.starter.running:
            raise not_running()
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[WorkerProcess | None] = loop.create_future()
        request = _Request(self.kind(task.env_id), task.id, room_only, granted)
        started = time.perf_counter()
        self._queue.append(request)
        self._pump()
        try:
            async with asyncio.timeout(timeout):
                return await granted
        except BaseException as error:
            self._withdraw(request)
            if isinstance(error, TimeoutError):
                raise EnvironmentFailure(
                    f"No place for an environment {task.env_id!r} within {timeout:g} s; all "
                    f"{self._in_play} places are taken.",
                    "timeout",
                ) from None
            raise
        finally:
            self.counts.waited += time.perf_counter() - started

    def room_now(self, task: Task) -> bool:
        """Take a place to which a process can be added, if nobody waits and there is room."""
        kind = self.kind(task.env_id)
        free = self.starter.running and not self._queue and self._in_play < self.size
        if not free or not self._make_room(kind):
            return False
        self._budget.take(kind.placement)
        self._in_play += 1
        return True

    def give_back(self, worker: WorkerProcess, healthy: bool, memory_mib: float | None) -> None:
        """Take a place back, for `EnvHandle`, and keep or replace its process."""
        self._in_play -= 1
        reason = self._reason_to_replace(worker, healthy, memory_mib)
        if reason is None and self.starter.running:
            self._idle.append(worker)
        else:
            self.discard(worker, reason or "failed")
        self._pump()

    def give_back_room(self, env_id: str) -> None:
        """Take back a place for which no process was made."""
        self._in_play -= 1
        self._budget.free(self.kind(env_id).placement, was_leaving=False)
        self._pump()

    def discard(self, worker: WorkerProcess, reason: str) -> None:
        """Kill a process; its room is free as soon as it has gone."""
        worker.close()
        if worker.discarded or not self.starter.running:
            return
        worker.discarded = True
        self.counts.replaced[reason] += 1
        if worker.ended.done():
            return
        self._leaving.add(worker)
        self._budget.leave(self.kind(worker.env_id).placement)
        self.starter.kill(worker)

    # Who gets what.

    def _pump(self) -> None:
        """Grant what can be granted, in order, and use what is left for spares."""
        while self._queue and self._grant(self._queue[0]):
            self._queue.popleft()
        if not self._queue and self.starter.running:
            for kind in self._kinds.values():
                self._start_spares(kind)

    def _grant(self, request: _Request) -> bool:
        """Grant a request if its turn has come; True if it need not wait any longer."""
        if request.granted.done():
            return True
        failure = self._spare_failures.get(request.kind.env_id)
        if failure is not None and not request.room_only:
            self._spare_failures[request.kind.env_id] = None  # said once, and no spares until
            request.granted.set_exception(failure)  # an episode's own start has worked
            return True
        if self._in_play >= self.size or not self._provide(request):
            return False
        self._in_play += 1
        request.placed = True
        return True

    def _provide(self, request: _Request) -> bool:
        """Find or start a process for a request."""
        if not request.room_only:
            worker = self._take_idle(request)
            if worker is not None:
                self.counts.reused += 1
                request.granted.set_result(worker)
                return True
            for start in self._starts:
                if start.request is None and start.kind is request.kind:
                    start.request = request
                    return True
        if not self._make_room(request.kind):
            return False
        if request.room_only:
            self._budget.take(request.kind.placement)
            request.granted.set_result(None)
        else:
            self._start(request.kind, request)
        return True

    def _take_idle(self, request: _Request) -> WorkerProcess | None:
        """Take the last used process of the same kind, rather one that has played the task."""
        fitting = [w for w in self._idle if w.alive and w.env_id == request.kind.env_id]
        if not fitting:
            return None
        worker = next((w for w in reversed(fitting) if request.task_id in w.tasks), fitting[-1])
        self._idle.remove(worker)
        return worker

    def _make_room(self, kind: Kind) -> bool:
        """Return True if there is room for a process; else end idle ones to get it in a moment."""
        most = self.size + self._most_spares()
        while self._idle and not self._budget.fits(kind.placement, most, in_time=True):
            self.discard(self._idle.pop(0), "room")
        return self._budget.fits(kind.placement, most)

    def _most_spares(self) -> int:
        return max((kind.placement.warm_spares for kind in self._kinds.values()), default=0)

    def _start_spares(self, kind: Kind) -> None:
        if kind.env_id in self._spare_failures:
            return
        ready = sum(worker.env_id == kind.env_id for worker in self._idle)
        ready += sum(start.kind is kind and start.request is None for start in self._starts)
        most = self.size + self._most_spares()
        for _ in range(kind.placement.warm_spares - ready):
            if not self._budget.fits(kind.placement, most):
                return
            self.counts.spares += 1
            self._start(kind, None)

    def _withdraw(self, request: _Request) -> None:
        """Forget a request whose episode no longer waits; a process found for it stays idle."""
        for start in self._starts:
            if start.request is request:
                start.request = None
        if request in self._queue:
            self._queue.remove(request)
        granted = request.granted
        got = granted.done() and not granted.cancelled() and granted.exception() is None
        granted.cancel()
        if request.placed:
            self._in_play -= 1
            if got and request.room_only:
                self._budget.free(request.kind.placement, was_leaving=False)
            worker = granted.result() if got else None
            if worker is not None:
                self._idle.append(worker)
        self._pump()

    # Processes that come and go.

    def _start(self, kind: Kind, request: _Request | None) -> None:
        self._budget.take(kind.placement)
        start = _Start(kind, request)
        self._starts.append(start)
        self.starter.run(self._carry_out(start))

    async def _carry_out(self, start: _Start) -> None:
        """Start a process and hand it to the episode it is for, if that still waits."""
        kind = start.kind
        try:
            worker = await self._started(kind)
        except Exception as error:
            failure = error if isinstance(error, EnvironmentFailure) else _not_started(error)
            self._starts.remove(start)
            if start.request is None:
                self._spare_failures.setdefault(kind.env_id, failure)
            elif not start.request.granted.done():
                start.request.granted.set_exception(failure)
        else:
            self._starts.remove(start)
            self._spare_failures.pop(kind.env_id, None)
            if start.request is None or start.request.granted.done():
                self._idle.append(worker)
            else:
                start.request.granted.set_result(worker)
        self._pump()

    async def _started(self, kind: Kind) -> WorkerProcess:
        """Start a process and warm it up."""
        try:
            worker = await self.starter.spawn(kind)
        except BaseException:
            self._budget.free(kind.placement, was_leaving=False)
            raise
        try:
            await self.starter.warm(worker, kind)
        except EnvironmentFailure:
            self.discard(worker, "failed")
            raise
        return worker

    def _ended(self, worker: WorkerProcess) -> None:
        """A process has gone: its room is free."""
        placement = self.kind(worker.env_id).placement
        self._budget.free(placement, was_leaving=worker in self._leaving)
        self._leaving.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._pump()

    def _reason_to_replace(
        self, worker: WorkerProcess, healthy: bool, memory_mib: float | None
    ) -> str | None:
        placement = self.kind(worker.env_id).placement
        if not healthy or not worker.alive:
            return "failed"
        if worker.episodes >= (placement.episodes_per_worker or self.episodes_per_worker):
            return "episodes"
        if memory_mib is not None and memory_mib > _MEMORY_FACTOR * placement.memory_mib:
            return "memory"
        return None


def _not_started(error: Exception) -> EnvironmentFailure:
    text = f"No environment process could be started: {type(error).__name__}: {error}"
    return EnvironmentFailure(text, "died")
