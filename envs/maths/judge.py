r"""Judges of answers, by name, and the forms of an answer that each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from agentrl.errors import unknown_name
from agentrl.scoring.boxed import content_of, last_box, last_boxed
from agentrl.scoring.dapo import dapo_answer, dapo_reward
from agentrl.scoring.gsm8k import gsm8k_answer, gsm8k_reward
from agentrl.scoring.hendrycks import math_reward
from agentrl.scoring.maths import MathsScorer


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


def _boxed(text: str, gold: str) -> MathJudged:
    """The last box's content, compared by math-verify in a process that is killed if it hangs."""
    found = _scorer().score(gold, text)
    return MathJudged(
        reward=float(found.correct),
        correct=found.correct,
        answer=found.answer,
        reason=str(found.reason),
    )


def _dapo(text: str, gold: str) -> MathJudged:
    """DAPO's: the line `Answer: ...`, or else a box at the very end; +1 or -1."""
    reward = dapo_reward(text, gold)
    return MathJudged(reward=reward, correct=reward > 0, answer=dapo_answer(text))


def _gsm8k(text: str, gold: str) -> MathJudged:
    """GSM8K's: the number after `####`, digit by digit."""
    reward = gsm8k_reward(text, gold)
    return MathJudged(reward=reward, correct=reward > 0, answer=gsm8k_answer(text))


def _math(text: str, gold: str) -> MathJudged:
    """MATH's: the last box, compared as text after Hendrycks' normalisation."""
    reward, box = math_reward(text, gold), last_box(text)
    answer = None if box is None else content_of(box)
    return MathJudged(reward=reward, correct=reward > 0, answer=answer)


JUDGES: Mapping[str, Judge] = {
    "exact": _exact,
    "boxed": _boxed,
    "dapo": _dapo,
    "gsm8k": _gsm8k,
    "math": _math,
}
READS: Mapping[str, tuple[str, ...]] = {
    "exact": ("boxed", "bare"),
    "boxed": ("boxed", "given"),
    "dapo": ("answer_line", "boxed", "given"),
    "gsm8k": ("hashes", "given"),
    "math": ("boxed", "given"),
}
"""By judge, the forms that it can read; the first is asked for by default."""


def judge_named(name: str) -> Judge:
    """Return a judge.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in JUDGES:
        raise unknown_name("judge", name, JUDGES)
    return JUDGES[name]


@cache
def _scorer() -> MathsScorer:
    """Return the scorer of this process; its own process ends with this one."""
    return MathsScorer(workers=1)
