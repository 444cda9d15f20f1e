"""ARPO's reward of a tagged answer with tool calls: format, token F1, bonus for both tools.

Source: ARPO; RUC-NLPIR/ARPO:ARPO/verl_arpo_entropy/verl/utils/reward_score/deep_research.py.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

BONUS = 0.1
CLOSED = ("yes", "no", "noanswer")
"""Answers that count only if they agree exactly."""


@dataclass(frozen=True, slots=True)
class ArpoReward:
    """A reward and how it came about.

    Attributes:
        score: -1 for a wrong format, else F1 in [0, 1], plus 0.1 for a right answer with both a
            search and a Python call.
        f1: best token F1 over the accepted answers.
        answer: what stands in the box; None if it cannot be read.
        problem: what is wrong with the format; empty if nothing is.
    """

    score: float
    f1: float = 0.0
    answer: str | None = None
    problem: str = ""


def arpo_reward(text: str, accepted: str | Sequence[str]) -> ArpoReward:
    """Return the reward of a response.

    Args:
        text: all that was sampled and all tool results, with their tags.
        accepted: right answers.
    """
    problem = format_problem(text)
    if problem:
        return ArpoReward(-1.0, problem=problem)
    answer = boxed(_between(text, "answer"))
    if answer is None:
        return ArpoReward(-1.0, problem="the box of the answer cannot be read")
    options = [accepted] if isinstance(accepted, str) else accepted
    f1 = max((token_f1(answer, option) for option in options), default=0.0)
    both = f1 > 0 and "</search>" in text and "</python>" in text
    return ArpoReward(f1 + BONUS * both, f1, answer)


def format_problem(text: str) -> str:
    """Return what is wrong with the tags of a response; empty if nothing is."""
    if text.count("<think>") != text.count("</think>"):
        return "<think> and </think> do not pair up"
    if "<think>" not in text:
        return "there is no <think>"
    if text.count("<answer>") != 1 or text.count("</answer>") != 1:
        return "there must be exactly one <answer> and one </answer>"
    for tool in ("search", "python"):
        if problem := _call_problem(text, tool):
            return problem
    if text.index("<answer>") > text.index("</answer>"):
        return "</answer> comes before <answer>"
    answer = _between(text, "answer")
    return "" if r"\boxed{" in answer and "}" in answer else r"the answer has no \boxed{}"


def _call_problem(text: str, tool: str) -> str:
    """Say which call lacks its end or its result, in that order."""
    opening = text.find(f"<{tool}>")
    while opening >= 0:
        result = text.find("<result>", opening)
        places = (text.find(f"</{tool}>", opening), result, text.find("</result>", result))
        if min(places) < 0:
            return f"a <{tool}> has no end or no result"
        if list(places) != sorted(places):
            return f"the tags of a <{tool}> and its result are out of order"
        opening = text.find(f"<{tool}>", places[-1])
    return ""


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def boxed(text: str) -> str | None:
    r"""Return the content of the last \boxed{...}, braces balanced; None if it does not end."""
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None
    start += len(r"\boxed{")
    depth = 1
    for position in range(start, len(text)):
        depth += (text[position] == "{") - (text[position] == "}")
        if depth == 0:
            return text[start:position]
    return None


def normal_form(text: str) -> str:
    """Return the text in lower case without punctuation and articles."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def token_f1(answer: str, accepted: str) -> float:
    """Return the F1 of the words of two normalised texts; closed answers must be equal."""
    left, right = normal_form(answer), normal_form(accepted)
    if left != right and (left in CLOSED or right in CLOSED):
        return 0.0
    ours, theirs = Counter(left.split()), Counter(right.split())
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0
