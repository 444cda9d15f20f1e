"""The threat table: what code tries, and that the sandbox stops it."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from agentrl.errors import ConfigError
from agentrl.tools.python import Level, Limits, Sandbox, Status, bubblewrap, selftest, threats
from agentrl.tools.python import sandbox as sandbox_module
from agentrl.tools.python.profile import Profile
from agentrl.tools.python.runtime import runtime
from agentrl.tools.python.slots import Slots
from agentrl.tools.python.threats import THREATS

HARMLESS = {
    "take more memory",
    "use more processor time",
    "write a big file",
    "open many files",
    "read files of the host",
    "reach the network",
    "see other processes",
    "reach into the kernel",
    "take memory that no limit counts",
}
"""Deeds that may be done here without any sandbox."""


@pytest.fixture(scope="module")
def held(installed):
    with Slots(32).take(10) as slot:
        return selftest.probe(_profile(Level.BWRAP), slot.user, THREATS)


@pytest.fixture(scope="module")
def held_without_sandbox():
    harmless = [threat for threat in THREATS if threat.name in HARMLESS]
    return selftest.probe(_profile(Level.OFF), None, harmless)


def _profile(level, **limits):
    return Profile(level=level, limits=Limits(**limits), runtime=runtime())


@pytest.mark.parametrize("name", [threat.name for threat in THREATS])
def test_code_cannot(held, name):
    assert held[name]


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_a_probe_succeeds_where_nothing_stops_it(held_without_sandbox, name):
    assert not held_without_sandbox[name]


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(60)",
        "print(len(str(7 ** (10 ** 9))))",
        "try:\n    while True: pass\nexcept BaseException:\n    while True: pass",
    ],
    ids=["loop", "sleep", "ignores signals", "giant number", "catches everything"],
)
def test_code_that_runs_too_long_is_stopped(installed, limits, leftovers, code):
    short = Sandbox(limits=replace(limits, wall=0.4))
    started = time.monotonic()
    assert short.run(code).status is Status.TIMEOUT
    assert time.monotonic() - started < 10
    assert leftovers() == []


def test_processor_time_is_limited_as_well_as_the_clock(installed, limits):
    limits = replace(limits, cpu=1, wall=20)
    outcome = Sandbox(limits=limits).run("while True: pass")
    assert outcome.status is Status.PROCESSOR_TIME
    assert outcome.text(limits) == "The code was stopped after 1 seconds of processor time."


def test_a_daemon_dies_with_its_call(sandbox, leftovers):
    detach = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    silent = "        os.closerange(0, 3)\n        time.sleep(60)\n    os._exit(0)\nprint('left')"
    assert sandbox.run(detach + silent).output == "left\n"
    assert leftovers() == []


def test_a_fork_bomb_ends_with_its_call(installed, limits, leftovers):
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    outcome = Sandbox(limits=replace(limits, wall=0.5)).run(bomb)
    assert outcome.status is Status.TIMEOUT
    assert leftovers() == []


def test_recursion_and_stack_overflow_end_the_code_only(sandbox):
    assert "RecursionError" in sandbox.run("def f(): f()\nf()").output
    crash = sandbox.run("import ctypes\nctypes.string_at(0)")
    assert (crash.status, crash.output) == (Status.CRASHED, "")
    assert crash.text(sandbox.limits) == "The interpreter crashed (SIGSEGV)."


def test_every_slot_has_a_user_of_its_own():
    slots = Slots(3)
    with slots.take(10) as first, slots.take(10) as second:
        users = {first.user, second.user}
    assert users == {None} if os.geteuid() != 0 else len(users) == 2


def test_a_level_that_does_not_hold_is_refused(installed, monkeypatch):
    leaky = threats.Threat("do this", "held = False")
    monkeypatch.setattr(threats, "THREATS", (*THREATS, leaky))
    with pytest.raises(ConfigError, match=r"`bwrap` does not hold.*Code could: do this"):
        Sandbox(limits=Limits(files=63))


def test_a_level_that_holds_is_not_tested_again(sandbox, limits, monkeypatch):
    def start(*_):
        raise AssertionError("started an interpreter")

    monkeypatch.setattr(selftest, "Interpreter", start)
    Sandbox(limits=limits)
    with pytest.raises(AssertionError, match="started"):
        Sandbox(limits=replace(limits, wall=4))


def test_a_level_that_lets_processes_live_on_is_refused(installed, monkeypatch):
    monkeypatch.setattr(selftest, "DAEMON", "pass")  # as if the wall clock stopped nothing
    with pytest.raises(ConfigError, match="run longer than allowed"):
        Sandbox(limits=Limits(files=62))


def test_without_bubblewrap_nothing_runs(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(bubblewrap, "PLACES", "")
    with pytest.raises(ConfigError, match=r"needs bubblewrap.*apt install.*`rlimit` by name"):
        Sandbox(limits=Limits(files=61))


def test_where_bubblewrap_may_not_make_namespaces_nothing_runs(installed, monkeypatch):
    real = bubblewrap.command

    def broken(*arguments):
        program, *others = real(*arguments)
        return [program, "--userns", "0", *others]  # descriptor 0 is no namespace

    monkeypatch.setattr(bubblewrap, "command", broken)
    with pytest.raises(ConfigError, match=r"allow user namespaces.*`rlimit` by name"):
        Sandbox(limits=Limits(files=60))


@pytest.mark.parametrize("level", ["rlimit", "off"])
def test_a_level_that_does_not_isolate_warns_once(level, monkeypatch):
    monkeypatch.setattr(sandbox_module, "_warned", set())
    with pytest.warns(RuntimeWarning, match="no isolation"):
        Sandbox(level)
    Sandbox(level)


@pytest.mark.filterwarnings("ignore:The Python sandbox runs at level")
def test_limits_hold_without_isolation_too(limits, leftovers):
    sandbox = Sandbox("rlimit", limits=replace(limits, wall=0.5))
    folder = sandbox.run("import os\nprint(os.getcwd(), end='')").output
    assert not os.path.exists(folder)
    assert "MemoryError" in sandbox.run("bytearray(4 << 30)").output
    stopped = sandbox.run("import os\nos.fork()\nwhile True: pass")
    assert stopped.status is Status.TIMEOUT
    assert leftovers() == []


def test_unknown_levels_are_refused():
    with pytest.raises(ConfigError, match="`level` is 'docker'; accepted are bwrap, rlimit, off"):
        Sandbox("docker")
