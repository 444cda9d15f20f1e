"""Starting and ending the Java process of the simulator."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import IO

from agentrl.envs.scienceworld.gateway import Gateway, call, construct
from agentrl.envs.scienceworld.java import archives, find_java
from agentrl.errors import EnvironmentFailure

START_SECONDS = 60.0
"""Longest wait for the process to listen; 0.8-2.6 s were seen."""

CALL_SECONDS = 120.0
"""Longest wait for one call; the slowest seen (a gold path) took 5 s."""

DETERMINISTIC = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
"""All identity hashes are equal, so hash sets of objects keep one order in every process.

Without it descriptions, updates and even scores differ from run to run.
"""

_OPTION_VARIABLES = frozenset(("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"))


class JavaProcess:
    """A Java process with a gateway; it ends when this process does, however that ends.

    It reads its standard input, a pipe that only this process holds, and exits at the end of it.
    It stays in this process's group, so that a killed worker takes it along even if it hangs.

    Args:
        heap_mib: most heap in MiB.
    """

    def __init__(self, heap_mib: int) -> None:
        self.heap_mib = heap_mib
        self._owner = os.getpid()
        with tempfile.TemporaryFile() as errors:
            self._process = _launch(heap_mib, errors)
            try:
                port, token = self._address(errors)
                self.gateway = Gateway(port, token, CALL_SECONDS)
                self._silence()
            except BaseException:
                self.kill()
                raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs and belongs to this one, not to the one it was forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    def kill(self) -> None:
        """End the process at once."""
        if self._owner != os.getpid():
            return
        if hasattr(self, "gateway"):
            self.gateway.close()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def disown(self) -> None:
        """In a fork of the owner: close its pipes here, so that they end with the owner."""
        self.gateway.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    os.close(pipe.fileno())
        self._process.returncode = 0  # not our child: nothing to wait for

    def _address(self, errors: IO[bytes]) -> tuple[int, str]:
        """Wait for the port and the token that the server prints."""
        assert self._process.stdout is not None
        text, end = b"", time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while text.count(b"\n") < 2:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise EnvironmentFailure(
                        f"ScienceWorld's Java did not start within {START_SECONDS:g} s.", "timeout"
                    )
                part = os.read(self._process.stdout.fileno(), 4096)
                if not part:
                    raise self._did_not_start(text, errors)
                text += part
        port, token = text.decode().split("\n")[:2]
        return int(port), token

    def _did_not_start(self, output: bytes, errors: IO[bytes]) -> EnvironmentFailure:
        self._process.wait()
        errors.seek(0)
        said = (output + errors.read(2000)).decode(errors="replace").strip()
        java = find_java()
        return EnvironmentFailure(
            f"ScienceWorld's Java ({java.path}, version {java.major}) ended with code "
            f"{self._process.returncode} and said {said!r}.",
            "died",
        )

    def _silence(self) -> None:
        """Send what the simulator prints, some kilobytes a step, nowhere.

        This must come before its first use, for Scala keeps the stream that it finds then.
        """
        nowhere = self.gateway.reference(construct("java.io.PrintStream", os.devnull))
        self.gateway.run_all(
            [call("z:java.lang.System", name, nowhere) for name in ("setOut", "setErr")]
        )


def _launch(heap_mib: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    simulator, py4j = archives()
    java = find_java()
    environment = {k: v for k, v in os.environ.items() if k not in _OPTION_VARIABLES}
    options = (*DETERMINISTIC, "-XX:+UseSerialGC", f"-Xmx{heap_mib}m")
    server = ("py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0")
    try:
        return subprocess.Popen(
            [java.path, *options, "-classpath", f"{py4j}{os.pathsep}{simulator}", *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=simulator.parent,  # the simulator reads its table of object types from there
            env=environment,
        )
    except OSError as error:
        raise EnvironmentFailure(f"{java.path} cannot be started: {error}", "died") from error
