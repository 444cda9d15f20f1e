"""Runs Python code that nobody has read, contained."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence

from agentrl.errors import ConfigError
from agentrl.tools.python.interpreter import Interpreter
from agentrl.tools.python.limits import Limits
from agentrl.tools.python.outcome import Outcome
from agentrl.tools.python.profile import Level, Profile
from agentrl.tools.python.runtime import runtime
from agentrl.tools.python.selftest import verify
from agentrl.tools.python.slots import Slot, Slots

SLOTS = 32
WAIT = 60.0
"""Seconds a call waits for a slot."""
_warned: set[Level] = set()


class Sandbox:
    """Runs code under a profile, in a slot of this machine; any thread may call it.

    One that exists has been tested: its level holds on this machine.

    Args:
        level: `bwrap`, or by explicit wish `rlimit` or `off`, which do not isolate.
        limits: what a call may use.
        slots: how many calls and open sessions this machine may have at a time, of all processes.
        python: interpreter; by default the one running AgentRL.
        packages: folders of packages code may import; by default those AgentRL runs with.

    Raises:
        ConfigError: the level does not hold here, or an argument is wrong.
    """

    def __init__(
        self,
        level: str = Level.BWRAP,
        *,
        limits: Limits | None = None,
        slots: int = SLOTS,
        python: str | None = None,
        packages: Sequence[str] | None = None,
    ) -> None:
        if level not in set(Level):
            raise ConfigError(f"`level` is {level!r}; accepted are {', '.join(Level)}.")
        self.limits = limits or Limits()
        self._slots = Slots(slots)
        self._profile = Profile(
            level=Level(level), limits=self.limits, runtime=runtime(python, packages)
        )
        _warn_once(self._profile.level)
        verify(self._profile, self._slots)

    def run(self, code: str, *, print_last: bool = False, files: Sequence[str] = ()) -> Outcome:
        """Run a piece of code in a new interpreter.

        Args:
            code: Python source.
            print_last: print the value of a last line that is a bare expression.
            files: of the host that code may read, under the same paths.

        Raises:
            SandboxBusy: no slot became free.
            SandboxFailed: no interpreter could be started.
        """
        with (
            self._slots.take(WAIT) as slot,
            Interpreter(self._profile, slot.user, files=files) as interpreter,
        ):
            return interpreter.run(code, print_last=print_last)

    def session(self, *, files: Sequence[str] = ()) -> Session:
        """Return an interpreter that keeps its variables; it holds a slot until it is closed.

        It ends with the thread that starts it, by the first call.
        """
        return Session(self._profile, self._slots, files)


class Session:
    """Runs one piece of code after the other in one interpreter; any thread may call it.

    One that was killed is replaced at the next call; `Outcome.forgotten` says so.
    """

    def __init__(self, profile: Profile, slots: Slots, files: Sequence[str]) -> None:
        self._profile, self._slots, self._files = profile, slots, files
        self._slot: Slot | None = None
        self._interpreter: Interpreter | None = None
        self._one_at_a_time = threading.Lock()

    def run(self, code: str, *, print_last: bool = False) -> Outcome:
        """Run a piece of code; see `Sandbox.run`."""
        with self._one_at_a_time:
            if self._slot is None:
                self._slot = self._slots.take(WAIT)
            if self._interpreter is None or not self._interpreter.alive:
                self._interpreter = Interpreter(
                    self._profile, self._slot.user, session=True, files=self._files
                )
            return self._interpreter.run(code, print_last=print_last)

    def close(self) -> None:
        """Kill the interpreter and free the slot; may be called again."""
        with self._one_at_a_time:
            if self._interpreter is not None:
                self._interpreter.close()
                self._interpreter = None
            if self._slot is not None:
                self._slot.free()
                self._slot = None


def _warn_once(level: Level) -> None:
    if level is not Level.BWRAP and level not in _warned:
        _warned.add(level)
        warnings.warn(
            f"The Python sandbox runs at level `{level}`, which is no isolation: code can read "
            f"files, reach the network and outlive its call. Only `bwrap` contains it.",
            RuntimeWarning,
            stacklevel=3,
        )
