"""The interpreter that runs the code in a sandbox."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentrl.errors import ConfigError

PUBLIC_FOLDERS = "/usr/bin:/usr/local/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """An interpreter and what it may import.

    Attributes:
        python: the program, without symbolic links.
        packages: folders that come after the standard library.
    """

    python: Path
    packages: tuple[Path, ...]

    @property
    def folders(self) -> tuple[Path, ...]:
        """What it reads."""
        return (self.python.parent.parent, *self.packages)


def runtime(python: str | None = None, packages: Sequence[str] | None = None) -> Runtime:
    """Describe an interpreter.

    As root the code gets a user of its own, who cannot read an interpreter below `/root`; one of
    the same version in `/usr` serves instead.

    Args:
        python: its program; by default the one running AgentRL.
        packages: folders of installed packages; by default those AgentRL runs with, and none for
            another `python`.

    Raises:
        ConfigError: a path is not there, or the code could not read it.
    """
    if packages is None:
        packages = () if python else _own_packages()
    program = _checked(Path(python)) if python else _own_python()
    folders = tuple(dict.fromkeys(Path(folder).resolve() for folder in packages))
    for folder in folders:
        if not folder.is_dir() or not _readable(folder):
            raise ConfigError(f"`packages` names {folder}, which is no folder that code can read.")
    return Runtime(python=program, packages=folders)


def _checked(program: Path) -> Path:
    program = program.resolve()
    if not program.is_file() or not os.access(program, os.X_OK):
        raise ConfigError(f"`python` is {program}, which is no program that can be run.")
    if not _readable(program.parent.parent):
        raise ConfigError(
            f"`python` is {program}, but code in a sandbox started by root has a user of its own, "
            f"who cannot read that; name one that every user can, for example /usr/bin/python3."
        )
    return program


def _own_python() -> Path:
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    if _readable(own.parent.parent):
        return own
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    other = shutil.which(name, path=PUBLIC_FOLDERS)
    return _checked(Path(other) if other else own)


def _own_packages() -> list[str]:
    found = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    readable = [str(folder) for folder in sorted(found) if _readable(folder)]
    if len(readable) < len(found):
        warnings.warn(
            "Code in the Python sandbox cannot import installed packages: only root can read "
            "them. Install AgentRL where every user can, or set `packages`.",
            RuntimeWarning,
            stacklevel=4,
        )
    return readable


def _readable(folder: Path) -> bool:
    """Say whether the user of the code can read a folder: anyone where we are root, else we."""
    if os.geteuid() != 0:
        return os.access(folder, os.R_OK | os.X_OK)
    walkable = all(parent.stat().st_mode & 0o001 for parent in folder.parents)
    return walkable and folder.stat().st_mode & 0o005 == 0o005
