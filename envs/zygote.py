"""The process that environment workers are forked from.

`python -m agentrl.envs.zygote FD` is a fresh interpreter that imports the environments once, never
torch, and holds no threads; a worker forked from it starts in milliseconds and shares its memory
until it writes to it.  FD is a stream socket to the parent.  One JSON message a line:

    parent  {"preload": [module, ...], "path": [...]}       first
            {"spawn": true}      with the worker's end of its connection as file descriptor
            {"kill": pid}
    zygote  {"ready": true} or {"failed": text}
            {"spawned": pid}     in the order asked
            {"exited": pid, "status": exit code, or minus the signal}

When the parent dies, or closes the socket, the zygote kills all workers and ends; when the zygote
dies, the kernel kills the workers.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from typing import Any

from agentrl.envs.worker import describe, serve

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 1.0


class Zygote:
    """Forks workers on request and reports their ends.

    Args:
        control: connection to the parent.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._parent = os.getppid()
        self._children: set[int] = set()
        self._buffer = b""
        self._descriptors: deque[int] = deque()
        # A child's end makes this pipe readable, so that one `select` waits for everything.
        self._wake, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the parent is gone."""
        while os.getppid() == self._parent:
            watched: list[Any] = [self._control, self._wake]
            ready, _, _ = select.select(watched, [], [], _POLL_SECONDS)
            if self._wake in ready:
                os.read(self._wake, 4096)
            self._reap()
            if self._control in ready and not self._read():
                break
        self._kill_all()

    def _read(self) -> bool:
        """Handle waiting messages; False once the parent closed the connection."""
        data, ancillary, _, _ = self._control.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array.array("i")
                descriptors.frombytes(payload[: len(payload) - len(payload) % 4])
                self._descriptors.extend(descriptors)
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._handle(json.loads(line))
        return bool(data)

    def _handle(self, message: dict[str, Any]) -> None:
        if "preload" in message:
            self._preload(message["preload"], message["path"])
        elif "spawn" in message:
            self._spawn(self._descriptors.popleft())
        elif message["kill"] in self._children:
            _kill_group(message["kill"])

    def _preload(self, modules: list[str], path: list[str]) -> None:
        sys.path[:] = path
        try:
            for module in modules:
                importlib.import_module(module)
        except BaseException as error:
            self._send({"failed": describe(error)})
            return
        gc.collect()
        gc.freeze()  # later collections must not touch, and so copy, the shared pages
        self._send({"ready": True})

    def _spawn(self, descriptor: int) -> None:
        pid = os.fork()
        if pid == 0:
            _become_worker(descriptor, self._control, os.getppid())
        os.close(descriptor)
        with suppress(OSError):
            os.setpgid(pid, pid)
        self._children.add(pid)
        self._send({"spawned": pid})

    def _reap(self) -> None:
        for pid in list(self._children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._children.discard(pid)
                _kill_group(pid)  # whatever the environment had started
                self._send({"exited": pid, "status": os.waitstatus_to_exitcode(status)})

    def _kill_all(self) -> None:
        for pid in self._children:
            _kill_group(pid)
        for pid in self._children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the parent is gone; `run` will notice
            self._control.sendall(json.dumps(message).encode() + b"\n")


def _become_worker(descriptor: int, control: socket.socket, zygote: int) -> None:
    """Turn the forked process into a worker; does not return."""
    status = 1
    try:
        os.setpgid(0, 0)
        _die_with_parent()
        if os.getppid() == zygote:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            serve(socket.socket(fileno=descriptor))
            status = 0
    except ConnectionError:
        status = 0  # the parent went away while an answer was sent
    finally:
        os._exit(status)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main() -> None:
    """Serve the connection named on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    Zygote(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
