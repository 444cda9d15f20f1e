"""The places of a machine where code runs: a fixed number, shared by all processes.

Every slot has a user id of its own where AgentRL runs as root, because the limit on processes
counts all those of a user.
"""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
import time
from pathlib import Path
from types import TracebackType

from agentrl.errors import AgentRLError, ConfigError

FIRST_USER = 61_000
"""User id of slot 0; nobody else should have ids from here on."""
PAUSE = 0.02
"""Seconds between two looks for a free slot."""


class SandboxBusy(AgentRLError, TimeoutError):
    """No slot became free in time."""


class Slot:
    """A place held by this process until `free` is called or the process ends."""

    def __init__(self, number: int, lock: int) -> None:
        self.number = number
        self._lock: int | None = lock

    @property
    def user(self) -> int | None:
        """The user id code runs under; None: ours, as only root can give another."""
        return FIRST_USER + self.number if os.geteuid() == 0 else None

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.free()

    def free(self) -> None:
        """Let the next one have it; may be called again."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class Slots:
    """Hands out slots.

    Args:
        count: how many there are.
        folder: of their lock files; those who share it share the slots. Only our user may write
            there.
    """

    def __init__(self, count: int, folder: Path | None = None) -> None:
        if count < 1:
            raise ConfigError(f"`slots` is {count}; a sandbox needs at least 1.")
        self._count = count
        self.folder = folder or _own_folder()

    def take(self, wait: float) -> Slot:
        """Return a free slot.

        Args:
            wait: seconds to wait for one.

        Raises:
            SandboxBusy: none became free.
        """
        deadline = time.monotonic() + wait
        while True:
            first = random.randrange(self._count)
            for step in range(self._count):
                if slot := self._try((first + step) % self._count):
                    return slot
            if time.monotonic() > deadline:
                raise SandboxBusy(
                    f"All {self._count} sandboxes stayed in use for {wait:g} seconds; "
                    f"raise `slots` or run fewer episodes at once."
                )
            time.sleep(PAUSE)

    def _try(self, number: int) -> Slot | None:
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self.folder / str(number), flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return Slot(number, lock)


def _own_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"agentrl-sandbox-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ConfigError(f"{folder} belongs to somebody else; remove it or set TMPDIR.")
    return folder
