"""One conformance suite for every environment, ours and everybody's.

    report = check_environment(Subject("module:own/Name-v0", limits=FULL))
    report.ok, report.failures

`agentrl envs check ID` prints the same.
"""

from agentrl.envs.conformance.catalogue import CHECKS, Check
from agentrl.envs.conformance.results import NotApplicable, Report, Result, Violation
from agentrl.envs.conformance.subject import FULL, QUICK, Limits, Subject
from agentrl.envs.conformance.supervisor import check_environment

__all__ = [
    "CHECKS",
    "FULL",
    "QUICK",
    "Check",
    "Limits",
    "NotApplicable",
    "Report",
    "Result",
    "Subject",
    "Violation",
    "check_environment",
]
