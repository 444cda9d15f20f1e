"""The parent's side of an environment process: one connection, one call at a time."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import Any

from agentrl.envs.worker import HEADER

_USUAL_BYTES = 16384
"""Most answers are shorter; asyncio's own buffer is so large that it is mapped anew each time."""


class WorkerProcess(asyncio.BufferedProtocol):
    """The connection to one worker process; one call at a time.

    Attributes:
        pid: its process id.
        env_id: the only environment it plays; empty until it is chosen.
        episodes: environments it has held.
        tasks: ids of the tasks it has played, whose data it may still hold.
        alive: False once the connection is closed.
        discarded: True once it has been told to end.
        ended: done when the process has gone: its exit code, or minus the signal.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.env_id = ""
        self.episodes = 0
        self.tasks: set[str] = set()
        self.alive = True
        self.discarded = False
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._space = bytearray(_USUAL_BYTES)
        self._filled = 0
        self._answer: asyncio.Future[dict[str, Any]] | None = None

    @property
    def busy(self) -> bool:
        """True while a call is unanswered."""
        return self._answer is not None

    async def call(
        self, message: dict[str, Any], timeout: float, passed: socket.socket | None = None
    ) -> dict[str, Any]:
        """Send a call and wait for the answer.

        Args:
            message: the call; see `agentrl.envs.worker`.
            timeout: seconds to wait.
            passed: a socket to hand over with it.

        Raises:
            TimeoutError: no answer within `timeout` seconds.
            ConnectionError: the process died.
        """
        if not self.alive or self._transport is None:
            raise ConnectionError
        body = json.dumps(message).encode()
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        if passed is None:
            self._transport.write(HEADER.pack(len(body)) + body)
        else:
            self._send_with(passed, HEADER.pack(len(body)) + body)
        deadline = loop.call_later(timeout, _fail, self._answer, TimeoutError)
        try:
            answer = await self._answer
        finally:
            deadline.cancel()
        self._answer = None
        return answer

    def _send_with(self, passed: socket.socket, data: bytes) -> None:
        """Send a short message with a file descriptor, past the transport, which cannot do it.

        Nothing waits in the transport: the answer to the call before has arrived.
        """
        assert self._transport is not None
        number = os.dup(self._transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=number) as ours:
            try:
                socket.send_fds(ours, [data], [passed.fileno()])
            except OSError as error:
                raise ConnectionError from error

    def close(self) -> None:
        """Close the connection; an idle worker then ends by itself."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes of an answer go (called by asyncio)."""
        if self._filled == len(self._space):
            self._space = self._space + bytes(len(self._space))
        return memoryview(self._space)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Note what has arrived, and hand a whole answer on (called by asyncio)."""
        self._filled += nbytes
        if self._filled < HEADER.size or self._answer is None or self._answer.done():
            return
        end = HEADER.size + HEADER.unpack_from(self._space)[0]
        if self._filled >= end:
            self._answer.set_result(json.loads(self._space[HEADER.size : end].decode()))
            self._filled = 0  # there is one answer to a call

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the waiting call (called by asyncio)."""
        self.alive = False
        if self._answer is not None:
            _fail(self._answer, ConnectionError)


def _fail(answer: asyncio.Future[Any], error: type[Exception]) -> None:
    """Let whoever waits for an answer go on without it."""
    if not answer.done():
        answer.set_exception(error())


async def connect(worker: WorkerProcess, ours: socket.socket) -> None:
    """Give a worker its end of a connection."""
    ours.setblocking(False)
    await asyncio.get_running_loop().create_connection(lambda: worker, sock=ours)
