"""The command line of bubblewrap: an empty machine with an interpreter and a little memory disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentrl.errors import ConfigError
from agentrl.tools.python.limits import Limits
from agentrl.tools.python.runtime import Runtime
from agentrl.tools.python.seccomp import program

SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
NOBODY = "65534"
PLACES = "/usr/bin:/usr/local/bin"
"""Where bubblewrap is looked for, beside the search path."""
HOW_TO_INSTALL = (
    "Install it (Debian, Ubuntu: `apt install bubblewrap`; version 0.8 or newer), or accept code "
    "that can read files and reach the network by asking for the level `rlimit` by name."
)


def find_bubblewrap() -> str:
    """Return the path of the program.

    Raises:
        ConfigError: it is not installed.
    """
    path = shutil.which("bwrap", path=f"{os.environ.get('PATH', '')}:{PLACES}")
    if path is None:
        raise ConfigError(f"The Python sandbox needs bubblewrap (`bwrap`). {HOW_TO_INSTALL}")
    return path


def command(
    runtime: Runtime,
    limits: Limits,
    environment: dict[str, str],
    files: Sequence[str],
    descriptors: list[int],
) -> list[str]:
    """Return the command that goes before the interpreter's own.

    Args:
        runtime: what has to be visible.
        limits: for the size of the disk.
        environment: of the code; it has no other variable.
        files: that code may read too, under the same paths; relative ones lie where it works.
        descriptors: gets the file descriptors the command needs; the caller closes them.
    """
    size = str(limits.disk)
    parts = [find_bubblewrap(), "--unshare-all", "--unshare-user", "--disable-userns"]
    parts += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    parts += ["--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox", "--clearenv"]
    for name, value in environment.items():
        parts += ["--setenv", name, value]
    parts += ["--ro-bind", "/usr", "/usr", *_system_folders()]
    parts += ["--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm"]
    parts += ["--size", size, "--tmpfs", "/tmp"]
    for folder in runtime.folders:
        if not folder.is_relative_to("/usr"):
            parts += ["--ro-bind", str(folder), str(folder)]
    for file in files:
        descriptors.append(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
        parts += ["--ro-bind-data", str(descriptors[-1]), os.path.join("/tmp", file)]
    # `/` and `/dev` are memory disks too, without a limit: nothing may be written there.
    parts += ["--remount-ro", "/dev", "--remount-ro", "/"]
    parts += ["--chdir", "/tmp", "--seccomp", str(_in_memory(program(), descriptors)), "--"]
    return parts


def _system_folders() -> Iterator[str]:
    for name in SYSTEM_FOLDERS:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))


def _in_memory(data: bytes, descriptors: list[int]) -> int:
    descriptors.append(os.memfd_create("filter"))
    os.write(descriptors[-1], data)
    os.lseek(descriptors[-1], 0, os.SEEK_SET)
    return descriptors[-1]
