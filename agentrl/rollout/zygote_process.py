"""The parent's side of the zygote, which starts, kills and buries environment processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.rollout.processes import WorkerProcess, connect

_CLOSE_SECONDS = 5.0
_EXIT_REPORT_SECONDS = 0.5
"""How long to wait for the zygote to say how a worker ended."""
_FORKS_AT_ONCE = 32
"""More requests would fill the zygote's socket, and this process would wait for it."""
_ZYGOTE_DIED = "The process that starts environment workers died."


class ZygoteProcess:
    """Starts, kills and buries worker processes.

    Args:
        preload: modules imported before workers are forked.
        log: where the processes' output goes; default nowhere.
    """

    def __init__(self, preload: Sequence[str], log: IO[bytes] | None = None) -> None:
        self._preload = list(preload)
        self._log = log
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._ready: asyncio.Future[None] | None = None
        self._spawned: deque[tuple[WorkerProcess, asyncio.Future[bool]]] = deque()
        self._workers: dict[int, WorkerProcess] = {}
        self._turn = asyncio.Semaphore(_FORKS_AT_ONCE)

    async def start(self, timeout: float) -> None:
        """Start the process and wait until the modules are imported.

        Raises:
            ConfigError: a module cannot be imported, or the import takes longer than `timeout` s.
        """
        self._control, theirs = socket.socketpair()
        output = self._log or subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agentrl.envs.zygote", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        theirs.close()
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_reader(self._control, self._read)
        self._send({"preload": self._preload, "path": sys.path})
        try:
            async with asyncio.timeout(timeout):
                await self._ready
        except TimeoutError as error:
            await self.close()
            raise ConfigError(
                f"Importing {', '.join(self._preload)} in the environment process took longer "
                f"than `start_timeout` = {timeout:g} s."
            ) from error
        except BaseException:
            await self.close()
            raise

    async def spawn(self, timeout: float) -> WorkerProcess:
        """Fork a worker.

        Raises:
            EnvironmentFailure: the zygote does not answer.
        """
        async with self._turn:
            return await self._fork(timeout)

    def adopt(self, worker: WorkerProcess) -> None:
        """Watch a worker that was forked from another one."""
        self._workers[worker.pid] = worker
        self._send({"adopt": worker.pid})

    def kill(self, worker: WorkerProcess) -> None:
        """Kill a worker at once, with all it started."""
        worker.close()
        with suppress(EnvironmentFailure):  # without a zygote there are no workers
            self._send({"kill": worker.pid})

    async def exit_status(self, worker: WorkerProcess) -> int | None:
        """Return how a dead worker ended: exit code, minus the signal, or None if not known."""
        try:
            async with asyncio.timeout(_EXIT_REPORT_SECONDS):
                return await asyncio.shield(worker.ended)
        except TimeoutError:
            return None

    async def close(self) -> None:
        """End the zygote, which kills all workers; after `_CLOSE_SECONDS` it is killed itself."""
        if self._control is None or self._process is None:
            return
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._control = None
        self._end_all()
        for _ in range(int(_CLOSE_SECONDS / 0.01)):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(0.01)
        self._process.kill()  # the kernel then kills the workers
        self._process.wait()

    async def _fork(self, timeout: float) -> WorkerProcess:
        worker, ours, theirs = WorkerProcess(), *socket.socketpair()
        spawned: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._spawned.append((worker, spawned))
        with theirs:
            try:
                self._send({"spawn": True}, theirs)
            except EnvironmentFailure:
                ours.close()
                raise
        await connect(worker, ours)
        try:
            async with asyncio.timeout(timeout):
                if not await asyncio.shield(spawned):
                    raise EnvironmentFailure(_ZYGOTE_DIED, "died")
        except BaseException as error:
            worker.close()  # the process sees that and ends
            if isinstance(error, TimeoutError):
                raise EnvironmentFailure(
                    f"No environment process could be started within {timeout:g} s.", "died"
                ) from error
            raise
        return worker

    def _send(self, message: dict[str, Any], passed: socket.socket | None = None) -> None:
        if self._control is None:
            raise EnvironmentFailure(_ZYGOTE_DIED, "died")
        data = json.dumps(message).encode() + b"\n"
        try:
            if passed is None:
                self._control.sendall(data)
            else:
                socket.send_fds(self._control, [data], [passed.fileno()])
        except OSError as error:
            raise EnvironmentFailure(
                f"The environment process has gone: {error}", "died"
            ) from error

    def _read(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._control)
            self._fail()
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._handle(json.loads(line))

    def _handle(self, message: dict[str, Any]) -> None:
        assert self._ready is not None
        if "ready" in message and not self._ready.done():
            self._ready.set_result(None)
        elif "failed" in message and not self._ready.done():
            self._ready.set_exception(
                ConfigError(f"An environment module cannot be imported: {message['failed']}")
            )
        elif "spawned" in message:
            worker, spawned = self._spawned.popleft()
            worker.pid = message["spawned"]
            self._workers[worker.pid] = worker
            if not spawned.done():
                spawned.set_result(True)
        elif "exited" in message and message["exited"] in self._workers:
            worker = self._workers.pop(message["exited"])
            if not worker.ended.done():
                worker.ended.set_result(message["status"])

    def _fail(self) -> None:
        """The zygote died: whoever waits for it must know."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ConfigError(_ZYGOTE_DIED))
        self._end_all()

    def _end_all(self) -> None:
        """Without a zygote there are no workers, and there will be none."""
        for _, spawned in self._spawned:
            if not spawned.done():
                spawned.set_result(False)
        self._spawned.clear()
        for worker in self._workers.values():
            if not worker.ended.done():
                worker.ended.set_result(-signal.SIGKILL)
        self._workers.clear()
