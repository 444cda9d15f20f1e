"""Sandboxes of the strongest level; without bubblewrap their tests are skipped, loudly."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrl.tools.python import Limits, Sandbox, slots
from agentrl.tools.python.limits import MIB

BARE = ("--ro-bind", "/", "/", "true")


@pytest.fixture(scope="session")
def installed() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("NOT TESTED whether the Python sandbox holds: bubblewrap is not installed")
    tried = subprocess.run(
        ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", *BARE],
        capture_output=True,
        text=True,
        timeout=30,
    )
    if tried.returncode:
        pytest.skip(f"NOT TESTED whether the Python sandbox holds: {tried.stderr.strip()}")


@pytest.fixture(scope="session", autouse=True)
def own_slots(tmp_path_factory) -> Iterator[None]:
    """Slots of this test run only, and none of the notes earlier runs have made."""
    folder = tmp_path_factory.mktemp("slots")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "_own_folder", lambda: folder)
        yield


@pytest.fixture(scope="session")
def limits() -> Limits:
    """Limits no other test run has: they are in the command lines of what runs under them."""
    return Limits(wall=5.0, memory=1024 * MIB + random.randrange(MIB))


@pytest.fixture(scope="session")
def sandbox(installed, limits) -> Sandbox:
    return Sandbox(limits=limits)


@pytest.fixture
def leftovers(limits):
    """Return the running processes that were started under our limits."""

    def find(wait: float = 2.0) -> list[int]:
        deadline = time.monotonic() + wait  # what was killed may need a moment to be gone
        while (found := running()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def running() -> list[int]:
        mark, found = str(limits.memory).encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass  # it has just ended
        return found

    return find
