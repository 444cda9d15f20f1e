"""What code might try: a probe for every threat, run by the self-test.

Every probe is Python that sets `held`: whether the sandbox stopped the attempt.  Braces hold what
the host fills in.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentrl.tools.python.profile import Level

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
        "take memory that no limit counts",
        """
numbers = {numbers}
held = (
    refused(os.memfd_create, "x")
    and refused_call(numbers["shmget"], 0, 4096, 0o1600)
    and refused_call(numbers["msgget"], 0, 0o1600)
)
""",
    ),
    Threat(
        "reach into the kernel",
        """
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
libc = ctypes.CDLL(None, use_errno=True)
def refused_call(number, *arguments):
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    return result == -1 and ctypes.get_errno() == 1
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
