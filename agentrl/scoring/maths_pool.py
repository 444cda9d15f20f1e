"""Processes that compare mathematics, each killed when a task takes too long.

Not `multiprocessing`: its pools cannot kill one stuck worker, forks of a process that uses CUDA
break, and its spawned children run the user's script again.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from enum import StrEnum
from multiprocessing import Pipe
from typing import NamedTuple

from agentrl.errors import EnvironmentFailure

START_SECONDS = 120.0
"""A worker must have imported math-verify by then."""
PATIENCE_SECONDS = 600.0
"""A task must have found a free worker by then."""
WALL_FACTOR = 5.0
"""A worker that has not computed its seconds in this many times as long is taken to be stuck."""
END_SECONDS = 10.0
"""A process that has closed its connection, or was killed, must have ended by then."""


class Task(NamedTuple):
    """What is to be compared.

    Attributes:
        reading: how; see `maths_worker`.
        gold: the right answer, LaTeX without a box.
        text: an answer or a response.
        seconds: of computing it may take.
    """

    reading: str
    gold: str
    text: str
    seconds: float


class Reply(StrEnum):
    """What came of a task."""

    READY = "ready"
    """Of no task: the worker has started."""
    VERIFIED = "verified"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    """No mathematics was found in the text."""
    UNREADABLE_GOLD = "unreadable_gold"
    TIMEOUT = "timeout"
    CRASHED = "crashed"


class Worker:
    """One process; it is not safe to share between threads."""

    def __init__(self) -> None:
        self.tasks = 0
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "agentrl.scoring.maths_worker", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until the first task can be given.

        Raises:
            EnvironmentFailure: it did not start.
        """
        reply = self._receive(START_SECONDS)
        if reply is not Reply.READY:
            raise EnvironmentFailure(
                f"A process for math-verify did not start ({reply}); what it printed says why. Is "
                "the extra `maths` installed for this Python?",
                "died",
            )

    def ask(self, task: Task) -> Reply:
        """Have a task done; after a timeout or a crash the worker is of no more use."""
        self.tasks += 1
        try:
            self._connection.send(task)
        except OSError:
            return Reply.CRASHED
        return self._receive(task.seconds * WALL_FACTOR)

    def kill(self) -> None:
        """Kill the process, whatever it is doing; may be called from any thread."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def end(self) -> None:
        """Kill the process and free everything."""
        self.kill()
        self._connection.close()

    def _receive(self, seconds: float) -> Reply:
        try:
            if not self._connection.poll(seconds):
                return Reply.TIMEOUT
            reply: Reply = self._connection.recv()
            return reply
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            ended_by_limit = self._process.returncode == -signal.SIGPROF
            return Reply.TIMEOUT if ended_by_limit else Reply.CRASHED


class Pool:
    """Workers for tasks from any thread.

    Args:
        workers: at most so many; each is started when it is first needed.
        tasks_per_worker: after so many it is replaced, since sympy's caches grow.
    """

    def __init__(self, workers: int, tasks_per_worker: int) -> None:
        self._tasks_per_worker = tasks_per_worker
        self._closed = False
        self._lock = threading.Lock()
        self._alive: set[Worker] = set()
        self._slots: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        self._workers = workers
        for _ in range(workers):
            self._slots.put(None)
        self._finalizer = weakref.finalize(self, _kill_own, self._alive, os.getpid())

    def run(self, task: Task) -> Reply:
        """Have a task done by a free worker; wait for one if need be.

        A task under which a worker dies is tried once more, as something else may have killed it.

        Raises:
            EnvironmentFailure: no worker could be had, or the pool is closed.
        """
        reply = self._run_once(task)
        return self._run_once(task) if reply is Reply.CRASHED else reply

    def close(self) -> None:
        """Kill all workers; tasks under way fail."""
        with self._lock:
            self._closed = True
        _kill(self._alive)
        for _ in range(self._workers):  # a slot in use comes back now that its worker is dead
            worker = self._slots.get(timeout=PATIENCE_SECONDS)
            if worker is not None:
                self._retire(worker)
        for _ in range(self._workers):
            self._slots.put(None)

    @property
    def pids(self) -> list[int]:
        """Of the living workers."""
        with self._lock:
            return [worker.pid for worker in self._alive]

    def _run_once(self, task: Task) -> Reply:
        worker = self._take()
        try:
            worker = worker or self._start()
            reply = worker.ask(task)
            if reply in (Reply.TIMEOUT, Reply.CRASHED) or worker.tasks >= self._tasks_per_worker:
                self._retire(worker)
                worker = None
            return reply
        except BaseException:  # an interrupted worker would answer the next task with this reply
            if worker is not None:
                self._retire(worker)
                worker = None
            raise
        finally:
            self._slots.put(worker)

    def _take(self) -> Worker | None:
        try:
            return self._slots.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise EnvironmentFailure(
                f"No process for math-verify became free in {PATIENCE_SECONDS:g} s. "
                "Give the scorer more `workers` or a smaller limit in `seconds`.",
                "timeout",
            ) from None

    def _start(self) -> Worker:
        with self._lock:
            self._check_open()
            worker = Worker()
            self._alive.add(worker)
        try:
            worker.wait_until_ready()
        except BaseException:
            self._retire(worker)
            self._check_open()
            raise
        return worker

    def _check_open(self) -> None:
        if self._closed:
            raise EnvironmentFailure("The maths scorer is closed; make a new one.", "died")

    def _retire(self, worker: Worker) -> None:
        worker.end()
        with self._lock:
            self._alive.discard(worker)


def _kill(workers: set[Worker]) -> None:
    for worker in list(workers):
        worker.kill()


def _kill_own(workers: set[Worker], owner: int) -> None:
    """Kill them at the end of the process that started them, not at the end of its forks."""
    if os.getpid() == owner:
        _kill(workers)
