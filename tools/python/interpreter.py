"""An interpreter in a process of its own, that runs code under a profile."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Sequence
from types import TracebackType

from agentrl.errors import AgentRLError
from agentrl.tools.python.outcome import Outcome, Status
from agentrl.tools.python.output import Output
from agentrl.tools.python.profile import Level, Profile

CHUNK = 65536
ENDED = (Status.DONE, Status.RAISED)
STOPPED = (Status.TIMEOUT, Status.FLOOD)
DYING = 5.0
"""Seconds a killed process may take to be gone."""


class SandboxFailed(AgentRLError, RuntimeError):
    """An interpreter could not be started or stopped; not the fault of the code."""


class Interpreter:
    """Runs code until it is closed or dies; used by one thread at a time.

    Args:
        profile: how the code is contained.
        user: id it runs under; None: ours.
        session: keep variables from one piece of code to the next; else there is only one.
        files: of the host that code may read.

    Raises:
        SandboxFailed: it did not start.
    """

    def __init__(
        self,
        profile: Profile,
        user: int | None,
        *,
        session: bool = False,
        files: Sequence[str] = (),
    ) -> None:
        self._profile, self._session, self._files = profile, session, files
        self._folder = _folder(profile.level, user)
        self._control, theirs = socket.socketpair()
        descriptors: list[int] = []
        try:
            with theirs:
                self._process = self._start(user, theirs, descriptors)
        except BaseException as error:
            self._control.close()
            self._remove_folder()
            if isinstance(error, OSError):
                raise SandboxFailed(f"The sandbox did not start: {error}") from error
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._ended = os.pidfd_open(self._process.pid)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Interpreter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it can run more code."""
        return self._process.returncode is None

    def run(self, code: str, *, print_last: bool = False) -> Outcome:
        """Run a piece of code.

        Args:
            code: Python source.
            print_last: print the value of a last line that is a bare expression.
        """
        limits = self._profile.limits
        started = time.monotonic()
        output = Output(limits.head, limits.tail)
        with contextlib.suppress(OSError):  # a dead interpreter is noticed below
            self._send(json.dumps({"code": code, "print_last": print_last}))
        deadline = started + limits.wall
        status = self._watch(output, deadline, ENDED, last=not self._session)
        seconds = time.monotonic() - started
        status, number = self._conclude(status, output)
        return Outcome(
            output=output.text(),
            status=status,
            seconds=seconds,
            signal=number,
            forgotten=self._session and not self.alive,
        )

    def close(self) -> None:
        """Kill it and all it started; may be called again."""
        if self.alive:
            self._end(Output(1, 1))

    def _start(
        self, user: int | None, theirs: socket.socket, descriptors: list[int]
    ) -> subprocess.Popen[bytes]:
        folder = self._folder or "/tmp"
        command = self._profile.command(folder, self._session, self._files, descriptors)
        bare = self._profile.level is not Level.BWRAP
        return subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=self._folder or "/",
            env=self._profile.environment(folder) if bare else {},
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            pass_fds=descriptors,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> None:
        output = Output(2000, 1)
        deadline = time.monotonic() + self._profile.limits.start
        status = self._watch(output, deadline, (Status.READY,), last=False)
        if status is not Status.READY:
            said = output.text().strip() or "it said nothing"
            raise SandboxFailed(f"The sandbox did not start ({self._profile.level}): {said}")

    def _send(self, line: str) -> None:
        self._hear()  # what the code has said out of turn
        self._control.settimeout(self._profile.limits.wall)
        self._control.sendall(line.encode() + b"\n")
        if not self._session:
            self._control.shutdown(socket.SHUT_WR)

    def _watch(
        self, output: Output, deadline: float, expected: Collection[Status], *, last: bool
    ) -> Status | None:
        """Collect output until the guest says something; if it is the `last`, until it has ended.

        Returns:
            What it said, of what is expected, or why it has to be stopped; None: nothing.
        """
        stdout, control = self._stdout, self._control.fileno()
        poller = select.poll()
        for descriptor in (stdout, control, self._ended):
            poller.register(descriptor, select.POLLIN)
        said = b""
        while (left := deadline - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poller.poll(left * 1000)}
            if stdout in ready and not self._read(output):
                poller.unregister(stdout)
            if output.size > self._profile.limits.flood:
                return Status.FLOOD
            if control in ready:
                said += (data := self._hear())
                if not data or len(said) > CHUNK:  # the code has taken over the other end
                    poller.unregister(control)
            if self._ended in ready or (b"\n" in said and not last):
                self._read_waiting(output)
                return _read_word(said, expected)
        return Status.TIMEOUT

    def _hear(self) -> bytes:
        """Return what the guest has said; empty if nothing, or if its end is closed."""
        self._control.setblocking(False)
        try:
            return self._control.recv(CHUNK)
        except OSError:
            return b""

    @property
    def _stdout(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _read(self, output: Output) -> bool:
        data = os.read(self._stdout, CHUNK)
        output.add(data)
        return bool(data)

    def _read_waiting(self, output: Output, wait: float = 0.0) -> bool:
        """Take what is in the pipe; `wait` for those who hold its other end to be gone.

        Returns:
            Whether they are.
        """
        deadline = time.monotonic() + wait
        poller = select.poll()
        poller.register(self._stdout, select.POLLIN)
        while poller.poll(max(deadline - time.monotonic(), 0) * 1000):
            if not self._read(output):
                return True
            late = time.monotonic() > deadline
            if late and output.size > 2 * self._profile.limits.flood:
                return False
        return False

    def _conclude(self, status: Status | None, output: Output) -> tuple[Status, int]:
        """End what has to end; return how the code ended, and by which signal."""
        if status in STOPPED or status is None or not self._session:
            code = self._end(output)
            return (status, 0) if status in STOPPED else _read_exit(code, status)
        return status, 0

    def _end(self, output: Output) -> int:
        """Kill the process and all below it; return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            code = self._process.wait(DYING)
        except subprocess.TimeoutExpired:
            raise SandboxFailed("A killed sandbox is still running.") from None
        isolated = self._profile.level is Level.BWRAP
        all_gone = self._read_waiting(output, DYING if isolated else 0.0)
        os.close(self._ended)
        self._control.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._remove_folder()
        if isolated and not all_gone:
            raise SandboxFailed("Processes of a killed sandbox are still running.")
        return code

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _folder(level: Level, user: int | None) -> str:
    """Make a folder to work in; bubblewrap has one of its own."""
    if level is Level.BWRAP:
        return ""
    folder = tempfile.mkdtemp(prefix="agentrl-python-")
    if user is not None:
        os.chown(folder, user, user)
    return folder


def _read_word(said: bytes, expected: Collection[Status]) -> Status | None:
    word = said.split(b"\n")[0].decode("utf-8", "replace")
    return next((status for status in expected if status == word), None)


def _read_exit(code: int, status: Status | None) -> tuple[Status, int]:
    """Return how code ended whose process is gone, and by which signal.

    bubblewrap ends with 128 and the signal.
    """
    number = -code if code < 0 else max(code - 128, 0)
    if number == signal.SIGXCPU:
        return Status.PROCESSOR_TIME, number
    if status is not None:
        return status, 0
    if number:
        return Status.CRASHED, number
    return (Status.RAISED if code else Status.DONE), 0
