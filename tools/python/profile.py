"""How code is contained, and the command that starts an interpreter so."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agentrl.tools.python import bubblewrap
from agentrl.tools.python.limits import Limits
from agentrl.tools.python.runtime import Runtime

GUEST = Path(__file__).with_name("guest.py").read_text()
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""All the code sees, beside where its folder is."""
OPTIONS = ("-P", "-s", "-B", "-u", "-X", "utf8")
"""`-I` but for `-E`, under which the hash seed would be random; the environment is ours anyway."""


class Level(StrEnum):
    """How strongly code is contained."""

    BWRAP = "bwrap"
    """A user, file system, network and process table of its own, by bubblewrap."""
    RLIMIT = "rlimit"
    """Limits on resources only: no isolation."""
    OFF = "off"
    """Only the wall clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All that decides how code runs.

    Attributes:
        level: how strongly it is contained.
        limits: what it may use.
        runtime: the interpreter.
    """

    level: Level
    limits: Limits
    runtime: Runtime

    def command(
        self, folder: str, session: bool, files: Sequence[str], descriptors: list[int]
    ) -> list[str]:
        """Return the command that starts an interpreter.

        Args:
            folder: where code works; of its own kind in `bwrap`.
            session: whether several pieces of code are to come.
            files: of the host that code may read; without isolation it can anyway.
            descriptors: gets the file descriptors the command needs; the caller closes them.
        """
        settings = {
            "packages": [str(path) for path in self.runtime.packages],
            "limits": self._resources(),
            "session": session,
        }
        python = [str(self.runtime.python), *OPTIONS, "-c", GUEST, json.dumps(settings)]
        if self.level is not Level.BWRAP:
            return python
        environment = self.environment(folder)
        contained = bubblewrap.command(self.runtime, self.limits, environment, files, descriptors)
        return [*contained, *python]

    def _resources(self) -> dict[str, int]:
        if self.level is Level.OFF:
            return {}
        resources = self.limits.resources()
        if self.level is Level.RLIMIT and os.geteuid() != 0:
            del resources["NPROC"]  # it would count all processes of our own user
        return resources

    def environment(self, folder: str) -> dict[str, str]:
        """Return the environment variables of code that works in a folder."""
        return ENVIRONMENT | {"HOME": folder, "TMPDIR": folder}
