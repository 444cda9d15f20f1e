"""The test that a level stops all threats on this machine, made before any other code runs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agentrl.errors import ConfigError
from agentrl.tools.python import threats
from agentrl.tools.python.bubblewrap import HOW_TO_INSTALL, find_bubblewrap
from agentrl.tools.python.interpreter import Interpreter, SandboxFailed
from agentrl.tools.python.outcome import Outcome, Status
from agentrl.tools.python.profile import ENVIRONMENT, Level, Profile
from agentrl.tools.python.seccomp import MACHINES
from agentrl.tools.python.slots import Slots
from agentrl.tools.python.threats import (
    DAEMON,
    DAEMON_SECONDS,
    ISOLATED,
    PREPARATION,
    USABLE,
    Threat,
)

BOOT = Path("/proc/sys/kernel/random/boot_id")
PROBE_SECONDS = 60.0
"""For all probes together, on a machine however busy."""
WAIT = 60.0
"""Seconds to wait for a slot."""


def verify(profile: Profile, slots: Slots) -> None:
    """Test that a profile's level holds on this machine, if that is not known since it started.

    Args:
        profile: how code is contained.
        slots: one is taken; in their folder it is noted that the level holds.

    Raises:
        ConfigError: it does not.
    """
    if profile.level is Level.OFF:
        return
    note = slots.folder / f"holds-{_circumstances(profile)}"
    if note.exists():
        return
    with slots.take(WAIT) as slot:
        try:
            failures = [*_failures(profile, slot.user), *_outliving(profile, slot.user)]
        except SandboxFailed as error:
            raise ConfigError(_cannot_start(profile.level, error)) from error
    if failures:
        raise ConfigError(
            f"The Python sandbox level `{profile.level}` does not hold on this machine. "
            f"Code could: {', '.join(failures)}. {HOW_TO_INSTALL}"
        )
    note.touch()


def _circumstances(profile: Profile) -> str:
    """Return a digest of all that decides whether a profile holds."""
    parts = [repr(profile), BOOT.read_text(), repr(threats.THREATS), PREPARATION]
    if profile.level is Level.BWRAP:
        program = find_bubblewrap()
        parts += [program, str(os.stat(program).st_mtime_ns)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def probe(profile: Profile, user: int | None, wanted: Sequence[Threat]) -> Mapping[str, bool]:
    """Return by name whether each threat is stopped.

    Raises:
        SandboxFailed: the probes could not be run.
    """
    with _surroundings(profile) as values:
        code = [PREPARATION, USABLE, "results = {'work at all': held}"]
        for threat in wanted:
            attempt = threat.probe.format_map(values)
            code.append(f"{attempt}\nresults[{threat.name!r}] = held")
        code.append("print(json.dumps(results))")
        patient = replace(profile, limits=replace(profile.limits, wall=PROBE_SECONDS))
        outcome = _run(patient, user, "\n".join(code))
    try:
        results: dict[str, bool] = json.loads(outcome.output.splitlines()[-1])
    except (ValueError, IndexError):
        raise SandboxFailed(outcome.text(profile.limits)) from None
    if not results.pop("work at all"):
        raise SandboxFailed("code cannot start threads and processes.")
    return results


def _failures(profile: Profile, user: int | None) -> list[str]:
    promised = [threat for threat in threats.THREATS if profile.level in threat.levels]
    return [name for name, held in probe(profile, user, promised).items() if not held]


def _outliving(profile: Profile, user: int | None) -> list[str]:
    """A killed interpreter fails by itself where something in its process table lives on."""
    short = replace(profile, limits=replace(profile.limits, wall=DAEMON_SECONDS))
    code = DAEMON if profile.level in ISOLATED else "while True: pass"  # else they would stay
    stopped = _run(short, user, code).status is Status.TIMEOUT
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
