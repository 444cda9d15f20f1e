"""What a check finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["pass", "fail", "skip"]


class Violation(Exception):
    """An environment breaks its contract.

    Attributes:
        problem: what is wrong and what is expected.
        fix: how to mend it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix


class NotApplicable(Exception):
    """A check does not concern this environment; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one check.

    Attributes:
        check: its name.
        status: `pass`, `fail`, or `skip` where it does not apply or could not run.
        note: what was seen, or why it was skipped.
        fix: how to mend a failure.
        seconds: how long it took.
        blocked: it was skipped because a check that it needs failed.
    """

    check: str
    status: Status
    note: str = ""
    fix: str = ""
    seconds: float = 0.0
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of all checks of one environment.

    Attributes:
        env_id: the environment.
        results: in the order in which the checks ran.
    """

    env_id: str
    results: Sequence[Result]

    @property
    def ok(self) -> bool:
        """True if no check failed."""
        return not self.failures

    @property
    def failures(self) -> list[Result]:
        """Return the results of the checks that failed."""
        return [result for result in self.results if result.status == "fail"]

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        results = [asdict(result) for result in self.results]
        return {"environment": self.env_id, "ok": self.ok, "results": results}
