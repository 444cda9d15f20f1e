"""What code might try, and the test that a level stops it on this machine.

Every probe is Python that sets `held`: whether the sandbox stopped the attempt.  Braces hold what
the host fills in.
"""

from __future__ import annotations

import json
import platform
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from agentrl.errors import ConfigError
from agentrl.tools.python.bubblewrap import HOW_TO_INSTALL
from agentrl.tools.python.interpreter import Interpreter, SandboxFailed
from agentrl.tools.python.outcome import Outcome, Status
from agentrl.tools.python.profile import ENVIRONMENT, Level, Profile
from agentrl.tools.python.seccomp import MACHINES

ISOLATED = frozenset({Level.BWRAP})
LIMITED = frozenset({Level.BWRAP, Level.RLIMIT})


@dataclass(frozen=True, slots=True)
class Threat:
    """Something that code must not be able to do.

    Attributes:
        name: the deed.
        probe: code that tries it.
        levels: that stop it.
    """

    name: str
    probe: str
    levels: frozenset[Level] = ISOLATED


THREATS = (
    Threat(
        "see the variables of the environment", "held = set(os.environ) <= {variables}", LIMITED
    ),
    Threat(
        "take more memory",
        """
def attempt():
    mmap.mmap(-1, 2 * {memory})
held = refused(attempt)
""",
        LIMITED,
    ),
    Threat(
        "use more processor time",
        "held = 0 < resource.getrlimit(resource.RLIMIT_CPU)[0] <= {cpu}",
        LIMITED,
    ),
    Threat(
        "write a big file",
        """
def attempt():
    with tempfile.TemporaryFile() as file:
        os.pwrite(file.fileno(), b"x", {file_size})
held = refused(attempt)
""",
        LIMITED,
    ),
    Threat(
        "open many files",
        """
opened = []
def attempt():
    while len(opened) < 2 * {files}:
        opened.append(open(os.devnull))
held = refused(attempt)
for file in opened:
    file.close()
""",
        LIMITED,
    ),
    Threat(
        "start many processes",
        """
children = []
def attempt():
    while len(children) < 2 * {processes}:
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
held = refused(attempt)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
""",
    ),
    Threat(
        "fill the memory with files",
        """
held = True
for folder in ("/tmp", "/dev/shm", "/dev", "/"):
    names = [f"{{folder}}/{{number}}" for number in range(2 * {disk} // {file_size} + 2)]
    def attempt():
        for name in names:
            with open(name, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, {file_size})
    held = refused(attempt) and held
    for name in filter(os.path.exists, names):
        os.remove(name)
""",
    ),
    Threat("read files of the host", "held = not any(map(os.path.exists, {secrets}))"),
    Threat(
        "write outside its folder",
        """
def attempt(folder):
    open(f"{{folder}}/agentrl", "w").close()
held = all(refused(attempt, folder) for folder in {read_only})
""",
    ),
    Threat(
        "reach the network",
        """
def attempt():
    socket.create_connection(("127.0.0.1", {port}), 5).close()
held = refused(attempt)
""",
    ),
    Threat("see other processes", "held = sum(map(str.isdigit, os.listdir('/proc'))) < 5"),
    Threat(
        "reach into the kernel",
        """
def refused_call(number, *arguments):
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    return result == -1 and ctypes.get_errno() == 1
libc = ctypes.CDLL(None, use_errno=True)
new_user = 0x10000000
numbers = {numbers}
held = (
    refused_call(numbers["unshare"], new_user)
    and refused_call(numbers["ptrace"], 0, 0, 0, 0)
    and refused_call(numbers["keyctl"], 0, -3, 0)
    and refused_call(numbers["io_uring_setup"], 1, 0)
    and refused_call(numbers["mount"], 0, 0, 0, 0, 0)
    and refused_call({clone}, new_user | 17, 0, 0, 0, 0)
)
""",
    ),
)

PREPARATION = """
import ctypes, json, mmap, os, resource, signal, socket, tempfile
def refused(attempt, *arguments):
    try:
        attempt(*arguments)
    except (OSError, MemoryError):
        return True
    return False
"""
USABLE = """
import subprocess, threading
thread = threading.Thread(target=print)
thread.start()
thread.join()
held = subprocess.run(["true"]).returncode == 0
"""
DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.fork()
while True:
    time.sleep(1)
"""
"""Runs for ever, with two processes that ignore what can be ignored."""
DAEMON_SECONDS = 0.3

_verified: set[Profile] = set()


def verify(profile: Profile, user: int | None) -> None:
    """Test once in this process that a profile's level holds on this machine.

    Args:
        profile: how code is contained.
        user: id it runs under; None: ours.

    Raises:
        ConfigError: it does not.
    """
    if profile.level is Level.OFF or profile in _verified:
        return
    try:
        failures = [*_failures(profile, user), *_outliving(profile, user)]
    except SandboxFailed as error:
        raise ConfigError(_cannot_start(profile.level, error)) from error
    if failures:
        raise ConfigError(
            f"The Python sandbox level `{profile.level}` does not hold on this machine. "
            f"Code could: {', '.join(failures)}. {HOW_TO_INSTALL}"
        )
    _verified.add(profile)


def probe(profile: Profile, user: int | None, threats: Sequence[Threat]) -> Mapping[str, bool]:
    """Return by name whether each threat is stopped.

    Raises:
        SandboxFailed: the probes could not be run.
    """
    with _surroundings(profile) as values:
        code = [PREPARATION, USABLE, "results = {'work at all': held}"]
        for threat in threats:
            attempt = threat.probe.format_map(values)
            code.append(f"{attempt}\nresults[{threat.name!r}] = held")
        code.append("print(json.dumps(results))")
        outcome = _run(profile, user, "\n".join(code))
    try:
        results: dict[str, bool] = json.loads(outcome.output.splitlines()[-1])
    except (ValueError, IndexError):
        raise SandboxFailed(outcome.text(profile.limits)) from None
    if not results.pop("work at all"):
        raise SandboxFailed("code cannot start threads and processes.")
    return results


def _failures(profile: Profile, user: int | None) -> list[str]:
    threats = [threat for threat in THREATS if profile.level in threat.levels]
    return [name for name, held in probe(profile, user, threats).items() if not held]


def _outliving(profile: Profile, user: int | None) -> list[str]:
    """A killed interpreter fails by itself where something in its process table lives on."""
    short = replace(profile, limits=replace(profile.limits, wall=DAEMON_SECONDS))
    stopped = _run(short, user, DAEMON).status is Status.TIMEOUT
    return [] if stopped else ["run longer than allowed"]


def _run(profile: Profile, user: int | None, code: str) -> Outcome:
    with Interpreter(profile, user) as interpreter:
        return interpreter.run(code)


@contextmanager
def _surroundings(profile: Profile) -> Iterator[dict[str, object]]:
    """Set up what the probes look for: a secret file, a service on the loopback interface."""
    limits, machine = profile.limits, MACHINES[platform.machine()]
    with tempfile.NamedTemporaryFile() as secret, socket.create_server(("127.0.0.1", 0)) as server:
        yield {
            "variables": {*ENVIRONMENT, "HOME", "TMPDIR", "PWD", "LC_CTYPE"},
            "memory": limits.memory,
            "cpu": limits.cpu,
            "file_size": limits.file_size,
            "files": limits.files,
            "processes": limits.processes,
            "disk": limits.disk,
            "secrets": [secret.name, "/etc/shadow", "/etc/passwd", "/root/.ssh"],
            "read_only": ["/", "/usr", "/dev", *map(str, profile.runtime.folders)],
            "port": server.getsockname()[1],
            "numbers": dict(machine.refused),
            "clone": machine.clone,
        }


def _cannot_start(level: Level, error: SandboxFailed) -> str:
    if level is not Level.BWRAP:
        return f"The Python sandbox cannot run code on this machine. {error}"
    return (
        f"The Python sandbox cannot use bubblewrap on this machine. {error} If it may not make "
        f"namespaces, allow user namespaces (sysctl user.max_user_namespaces, "
        f"kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; in a "
        f"container they need its consent). {HOW_TO_INSTALL}"
    )
