"""A case, what a search gives back, and how cases are written into a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """One judged episode.

    Attributes:
        task: text of the task.
        plan: what the planner wrote.
        reward: of the episode.
    """

    task: str
    plan: str
    reward: float

    @property
    def text(self) -> str:
        """Task and plan, what the learned retriever reads."""
        return f"{self.task}\n{self.plan}"


@dataclass(frozen=True, slots=True)
class Found:
    """A case that was retrieved.

    Attributes:
        case: the case.
        score: cosine similarity, or the learned chance that showing it leads to success.
        positive: its episode counts as a success.
        index: its place in the bank at that time, oldest first.
    """

    case: Case
    score: float
    positive: bool
    index: int


def render(found: Sequence[Found], limit: int = 8) -> str:
    """Return text for the planner's prompt: successes first, then failures; empty for no cases.

    Args:
        found: best first.
        limit: most successes, and most failures, that are written.
    """
    parts: list[str] = []
    for positive, title in ((True, "Plans that worked"), (False, "Plans that failed")):
        chosen = [entry.case for entry in found if entry.positive is positive][:limit]
        if chosen:
            parts.append(f"{title}:")
        for number, case in enumerate(chosen, 1):
            parts.append(f"{number}. Task: {case.task}\n   Plan: {case.plan}")
    if parts:
        parts.append("Follow what worked in them and avoid what failed.")
    return "\n\n".join(parts)
