"""Folders that are made once, however many processes want them.

A folder is written beside its place and renamed, under a lock: one with the final name is whole.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agentrl.errors import DataError

LOCK_SECONDS = 3600.0
"""How long a process waits for another one that is building."""


def build_once(target: Path, build: Callable[[Path], None], seconds: float = LOCK_SECONDS) -> None:
    """Make a folder unless it exists; several processes may ask at once.

    Args:
        target: the folder.
        build: fills the empty folder it is given.
        seconds: how long to wait for another process that is at it.

    Raises:
        DataError: the wait was too long, or the disk refuses.
    """
    if target.is_dir():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / f".{target.name}.lock", seconds):
            if target.is_dir():
                return
            for left_over in target.parent.glob(f".making-{target.name}-*"):
                shutil.rmtree(left_over, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".making-{target.name}-", dir=target.parent))
            try:
                build(scratch)
                scratch.chmod(0o755)
                os.replace(scratch, target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{str(target)!r} cannot be written: {error}. Free some space there, or set "
            "AGENTRL_CACHE to another folder."
        ) from error


@contextmanager
def _locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system frees it when the process ends."""
    deadline = time.monotonic() + seconds
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DataError(
                        f"Another process has been building for {seconds:.0f} s under the lock "
                        f"{str(path)!r}; see whether it still runs."
                    ) from None
                time.sleep(0.05)
        yield
