r"""Judges of answers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentrl.errors import unknown_name
from agentrl.scoring.boxed import last_boxed


@dataclass(frozen=True, slots=True, kw_only=True)
class MathJudged:
    """A judged answer.

    Attributes:
        reward: for training.
        correct: whether it is right.
        answer: what was read from the text; None where nothing was.
        reason: of the verdict, for records.
    """

    reward: float
    correct: bool
    answer: str | None
    reason: str = ""


Judge = Callable[[str, str], MathJudged]
"""Of what the model wrote and the right answer."""


def _exact(text: str, gold: str) -> MathJudged:
    """The answer is the box's content, or else the last word; compared as text."""
    boxed = last_boxed(text)
    words = text.split()
    answer = boxed.strip() if boxed is not None else words[-1] if words else None
    correct = answer is not None and answer.replace(" ", "") == gold.replace(" ", "")
    return MathJudged(reward=float(correct), correct=correct, answer=answer)


JUDGES: Mapping[str, Judge] = {"exact": _exact}


def judge_named(name: str) -> Judge:
    """Return a judge.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in JUDGES:
        raise unknown_name("judge", name, JUDGES)
    return JUDGES[name]
