r"""ARPO's reward: token F1 of the boxed answer, more for using both tools, -1 for bad form.

Source: RUC-NLPIR/ARPO:ARPO/verl_arpo_entropy/verl/utils/reward_score/deep_research.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentrl.scoring.boxed import content_of, last_box
from agentrl.scoring.qa import Golds, token_f1
from agentrl.scoring.tags import blocks

BAD_FORM = -1.0
BOTH_TOOLS = 0.1
"""Added to an answer that is at least partly right if both a search and a program were run."""


class ArpoReason(StrEnum):
    """Why a response has its reward."""

    BAD_FORMAT = "bad format"
    NO_ANSWER = "cannot extract answer"
    NO_BOX = "find box error"
    """The answer has a box that is never closed."""
    WRONG = "wrong answer but good format"
    CORRECT = "correct answer"
    CORRECT_WITH_TOOLS = "correct answer and calling search and python at the same time"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpoVerdict:
    """A judged response.

    Attributes:
        score: the reward.
        reason: for it.
        answer: read from the box; empty if there is none.
        f1: of the answer.
    """

    score: float
    reason: ArpoReason
    answer: str = ""
    f1: float = 0.0


def arpo_reward(response: str, golds: Golds) -> float:
    """Return the reward of a response: -1, or an F1 from 0 to 1, or up to 1.1 with both tools."""
    return judge_arpo(response, golds).score


def judge_arpo(response: str, golds: Golds) -> ArpoVerdict:
    """Judge a response, results of tools included and end-of-turn tokens left out."""
    if not has_good_form(response):
        return ArpoVerdict(score=BAD_FORM, reason=ArpoReason.BAD_FORMAT)
    block = next(blocks(response, "answer"), None)
    if block is None:
        return ArpoVerdict(score=BAD_FORM, reason=ArpoReason.NO_ANSWER)
    box = last_box(block)
    answer = None if box is None else content_of(box)
    if answer is None:
        return ArpoVerdict(score=BAD_FORM, reason=ArpoReason.NO_BOX)
    f1 = token_f1(answer, golds)
    if not f1:
        return ArpoVerdict(score=0.0, reason=ArpoReason.WRONG, answer=answer)
    both = "</search>" in response and "</python>" in response
    return ArpoVerdict(
        score=f1 + BOTH_TOOLS if both else f1,
        reason=ArpoReason.CORRECT_WITH_TOOLS if both else ArpoReason.CORRECT,
        answer=answer,
        f1=f1,
    )


def has_good_form(response: str) -> bool:
    r"""Say whether thoughts are paired, calls have results, and the one answer has a `\boxed{`."""
    thoughts = response.count("<think>")
    if not thoughts or thoughts != response.count("</think>"):
        return False
    if response.count("<answer>") != 1 or response.count("</answer>") != 1:
        return False
    if not (_calls_have_results(response, "search") and _calls_have_results(response, "python")):
        return False
    answer = response[response.find("<answer>") : response.find("</answer>")]
    return "\\boxed{" in answer and "}" in answer


def _calls_have_results(response: str, tag: str) -> bool:
    """Say whether every call is closed and then followed by a whole result."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    end = 0
    while (start := response.find(opening, end)) >= 0:
        closed = response.find(closing, start)
        result = response.find("<result>", start)
        if not 0 <= closed < result or (end := response.find("</result>", result)) < 0:
            return False
    return True
