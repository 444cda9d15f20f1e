"""What came of running a piece of code."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from agentrl.tools.python.limits import MIB, Limits

SILENT = "The code ran and printed nothing."
FORGOTTEN = "The interpreter was started again: everything earlier code had defined is gone."


class Status(StrEnum):
    """How it ended."""

    READY = "ready"
    """It has not begun."""
    DONE = "done"
    RAISED = "raised"
    """By an exception, or `sys.exit` with an error."""
    TIMEOUT = "timeout"
    PROCESSOR_TIME = "processor_time"
    FLOOD = "flood"
    """It printed too much."""
    CRASHED = "crashed"
    """The interpreter died of a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A piece of code that was run.

    Attributes:
        output: standard output and error as they came, cleaned and cut; an exception is its end.
        status: how it ended.
        seconds: how long it ran.
        signal: that ended it; 0 for none.
        forgotten: whether later code of the session finds none of the earlier variables.
    """

    output: str
    status: Status
    seconds: float
    signal: int = 0
    forgotten: bool = False

    def text(self, limits: Limits) -> str:
        """Return what the model is shown: the output, and what stopped the code; never empty."""
        parts = [self.output.rstrip(), self._stopped(limits), FORGOTTEN if self.forgotten else ""]
        return "\n".join(part for part in parts if part) or SILENT

    def _stopped(self, limits: Limits) -> str:
        match self.status:
            case Status.TIMEOUT:
                return f"The code was stopped after {limits.wall:g} seconds."
            case Status.PROCESSOR_TIME:
                return f"The code was stopped after {limits.cpu} seconds of processor time."
            case Status.FLOOD:
                return f"The code was stopped: it printed more than {limits.flood // MIB} MiB."
            case Status.CRASHED:
                return f"The interpreter crashed ({_name(self.signal)})."
            case _:
                return ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
