"""The checks, in the order in which they run."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from agentrl.envs.conformance.results import NotApplicable, Result, Violation
from agentrl.envs.conformance.subject import Subject
from agentrl.envs.worker import describe
from agentrl.errors import unknown_name


@dataclass(frozen=True, slots=True)
class Check:
    """One property of an environment.

    Attributes:
        name: for `--only` and reports.
        function: `module:function`; it takes a `Subject`, returns a note, and raises `Violation`
            or `NotApplicable`.
        needed: where it fails, the checks after it cannot run.
    """

    name: str
    function: str
    needed: bool = False

    def run(self, subject: Subject) -> Result:
        """Run the check in this process; whatever is raised becomes its result."""
        start = time.perf_counter()
        module, _, name = self.function.partition(":")
        function: Callable[[Subject], str] = getattr(importlib.import_module(module), name)
        outcome: dict[str, Any]
        try:
            outcome = {"status": "pass", "note": function(subject)}
        except NotApplicable as reason:
            outcome = {"status": "skip", "note": str(reason)}
        except Violation as found:
            outcome = {"status": "fail", "note": found.problem, "fix": found.fix}
        except BaseException as error:
            outcome = {"status": "fail", "note": describe(error), "fix": "make it raise nothing"}
        return Result(check=self.name, seconds=time.perf_counter() - start, **outcome)


_HERE = "agentrl.envs.conformance"

CHECKS = (
    Check("class", f"{_HERE}.structure:class_attributes", needed=True),
    Check("import", f"{_HERE}.structure:import_cost"),
    Check("start", f"{_HERE}.structure:start", needed=True),
    Check("panels", f"{_HERE}.panels:panels"),
    Check("api", f"{_HERE}.structure:gymnasium_interface"),
    Check("prompts", f"{_HERE}.structure:prompts"),
    Check("info", f"{_HERE}.episodes:info"),
    Check("admissible", f"{_HERE}.episodes:admissible"),
    Check("seeding", f"{_HERE}.episodes:seeding"),
    Check("determinism", f"{_HERE}.episodes:determinism"),
    Check("ends", f"{_HERE}.episodes:ends"),
    Check("close", f"{_HERE}.episodes:close"),
    Check("expert", f"{_HERE}.episodes:expert"),
    Check("fork", f"{_HERE}.forks:fork"),
    Check("fuzz", f"{_HERE}.load:fuzz"),
    Check("memory", f"{_HERE}.load:memory"),
    Check("worker", "agentrl.rollout.conformance:worker"),
)
"""The last one needs the pool of worker processes, which lies above this layer: by name."""


def chosen(names: Iterable[str]) -> list[Check]:
    """Return the checks with these names (all without any), and those that they need.

    Raises:
        UnknownNameError: there is no such check.
    """
    wanted = set(names)
    known = [check.name for check in CHECKS]
    for name in wanted - set(known):
        raise unknown_name("check", name, known)
    return [check for check in CHECKS if not wanted or check.needed or check.name in wanted]
