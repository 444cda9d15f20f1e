"""The process that environment workers are forked from.

`python -m agentrl.envs.zygote FD` is a fresh interpreter that imports the environments once, never
torch, and holds no threads; a worker forked from it starts in milliseconds and shares its memory
until it writes to it.  FD is a stream socket to the parent.  One JSON message a line:

    parent  {"preload": [module, ...], "path": [...]}       first
            {"spawn": true}      with the worker's end of its connection as file descriptor
            {"adopt": pid}       a worker that was forked from a worker
            {"kill": pid}
    zygote  {"ready": true} or {"failed": text}
            {"spawned": pid}     in the order asked
            {"exited": pid, "status": exit code, or minus the signal}

Each worker leads a process group, which what it starts belongs to.  Nothing outlives the run:

* when the parent dies, or closes the socket, the zygote kills all groups, then every orphan that
  had left its group, and ends;
* when the zygote dies, the kernel kills the workers, and a small shell that was started first, the
  *guard*, kills what the workers had started.  It does so also when parent and zygote are killed
  at once; only if the guard is killed with them can a worker's child survive, unless it watches
  its own standard input, as it should.
"""

from __future__ import annotations

import array
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

from agentrl.envs.guard import Guard
from agentrl.envs.process import (
    descendants_of,
    die_with_parent,
    inherit_orphans,
    kill_families,
    kill_group,
)
from agentrl.envs.worker import describe, serve

_POLL_SECONDS = 1
_REMEMBERED_ORPHANS = 256


class Zygote:
    """Forks workers on request and reports their ends.

    Args:
        control: connection to the parent.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._parent = os.getppid()
        self._guard = Guard()
        self._children: set[int] = set()
        self._orphans: dict[int, int] = {}
        self._buffer = b""
        self._unsent = b""
        self._descriptors: deque[int] = deque()
        self._condemned: list[int] = []
        # A child's end makes this pipe readable, so that one `poll` waits for everything.
        self._wake, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        inherit_orphans()

    def run(self) -> None:
        """Serve until the parent is gone."""
        waiter = select.poll()  # which takes any descriptor, unlike `select`
        waiter.register(self._wake, select.POLLIN)
        while os.getppid() == self._parent:
            waiter.register(self._control, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            ready = dict(waiter.poll(1000 * _POLL_SECONDS))
            if self._wake in ready:
                os.read(self._wake, 4096)
            self._reap()
            happened = ready.get(self._control.fileno(), 0)
            if happened & select.POLLOUT:
                self._flush()
            if happened & ~select.POLLOUT and not self._read():
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
        if self._condemned:
            kill_families(self._condemned)  # looks through all processes, so once for many
            self._condemned.clear()
        return bool(data)

    def _handle(self, message: dict[str, Any]) -> None:
        if "preload" in message:
            self._preload(message["preload"], message["path"])
        elif "spawn" in message:
            self._spawn(self._descriptors.popleft())
        elif "adopt" in message:
            self._adopt(message["adopt"])
        elif message["kill"] in self._children:
            self._condemned.append(message["kill"])

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
            self._guard.leave()
            _become_worker(descriptor, self._control, os.getppid())
        os.close(descriptor)
        with suppress(OSError):
            os.setpgid(pid, pid)
        self._add(pid)
        self._send({"spawned": pid})

    def _adopt(self, pid: int) -> None:
        """Watch a worker that another worker has forked, and that is a child of this process."""
        if pid in self._orphans:  # it has ended already
            self._bury(pid, self._orphans.pop(pid))
        else:
            self._add(pid)

    def _add(self, pid: int) -> None:
        self._children.add(pid)
        self._guard.tell("+", pid)

    def _reap(self) -> None:
        """Bury every child that has ended: workers, and orphans of workers."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid in self._children:
                    self._bury(pid, status)
                else:
                    self._orphans[pid] = status
                    if len(self._orphans) > _REMEMBERED_ORPHANS:
                        del self._orphans[next(iter(self._orphans))]

    def _bury(self, pid: int, status: int) -> None:
        self._children.discard(pid)
        kill_group(pid)  # whatever the environment had started
        self._guard.tell("-", pid)
        self._send({"exited": pid, "status": os.waitstatus_to_exitcode(status)})

    def _kill_all(self) -> None:
        for pid in self._children:
            kill_group(pid)
        # As parents die, what they had started becomes a child of this process.
        while orphans := [pid for pid in descendants_of(os.getpid()) if pid != self._guard.pid]:
            for pid in orphans:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _send(self, message: dict[str, Any]) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        """Send what there is room for: who waits here while the parent waits to send waits long."""
        with suppress(OSError):  # no room, or the parent is gone; `run` will notice
            sent = self._control.send(self._unsent, socket.MSG_DONTWAIT)
            self._unsent = self._unsent[sent:]


def _become_worker(descriptor: int, control: socket.socket, zygote: int) -> None:
    """Turn the forked process into a worker; does not return."""
    status = 1
    try:
        os.setpgid(0, 0)
        die_with_parent()
        if os.getppid() == zygote:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            os.set_inheritable(descriptor, False)
            serve(socket.socket(fileno=descriptor))
            status = 0
    except ConnectionError:
        status = 0  # the parent went away while an answer was sent
    finally:
        os._exit(status)


def main() -> None:
    """Serve the connection named on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    Zygote(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
