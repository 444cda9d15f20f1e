"""GAIA's score: is an answer the ground truth, by the rules of the leaderboard.

Three rules, chosen by the ground truth: a number is compared as a number, anything with a comma or
semicolon as a list, the rest as text.  Some consequences surprise: "1,234" is a list of two, order
matters in lists, and a ground truth of "inf" accepts any answer that is not a number.

Source: huggingface/smolagents:examples/open_deep_research/scripts/gaia_scorer.py, which copies the
leaderboard's.  The paper is GAIA: a benchmark for General AI Assistants (arXiv 2311.12983).
"""

from __future__ import annotations

import math
import re
import string

from agentrl.scoring.boxed import last_boxed
from agentrl.scoring.tags import last_block

_MARK = re.compile(r"final answer\**\s*:", re.IGNORECASE)
_NOT_IN_NUMBERS = str.maketrans("", "", "$%,")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PAIRS = {"[": "]", '"': '"', "'": "'", "“": "”", "‘": "’"}


def question_scorer(model_answer: str | None, ground_truth: str) -> bool:
    """Say whether an answer counts as right.

    Args:
        model_answer: None, no answer, is compared as the text "None".
        ground_truth: from the data.
    """
    answer = "None" if model_answer is None else model_answer
    if _is_number(ground_truth):
        return number_of(answer) == float(ground_truth)
    if "," in ground_truth or ";" in ground_truth:
        wanted, given = elements_of(ground_truth), elements_of(answer)
        return len(wanted) == len(given) and all(map(_same_element, given, wanted))
    return normalise_text(answer) == normalise_text(ground_truth)


def final_answer(text: str) -> str | None:
    r"""Return the answer that a response ends with; None if it gives none.

    That is the first line after the last "FINAL ANSWER:" (in any case), without asterisks and one
    pair of square brackets or quotes; where that is missing, the last `<answer>` block; then the
    last `\boxed{...}` of either that block or, without one, the text.
    """
    marks = list(_MARK.finditer(text))
    if marks:
        lines = text[marks[-1].end() :].strip().lstrip("*").strip().splitlines()
        return _bare(lines[0]) or None if lines else None
    block = last_block(text, "answer")
    boxed = last_boxed(text if block is None else block)
    answer = block if boxed is None else boxed
    return answer.strip() or None if answer is not None else None


def number_of(text: str) -> float:
    """Read a number as Python does, after removing `$`, `%` and `,`; infinity if it is none."""
    try:
        return float(text.translate(_NOT_IN_NUMBERS))
    except ValueError:
        return math.inf


def elements_of(text: str) -> list[str]:
    """Return the elements of a list, divided by commas or semicolons."""
    return re.split(r"[,;]", text)


def normalise_text(text: str, *, keep_punctuation: bool = False) -> str:
    """Return a text in lower case, without whitespace and by default without ASCII punctuation."""
    joined = "".join(text.split()).lower()
    return joined if keep_punctuation else joined.translate(_PUNCTUATION)


def _same_element(given: str, wanted: str) -> bool:
    if _is_number(wanted):
        return number_of(given) == float(wanted)
    return normalise_text(given, keep_punctuation=True) == normalise_text(
        wanted, keep_punctuation=True
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bare(answer: str) -> str:
    """Return an answer without asterisks and one pair of brackets or quotes around all of it."""
    answer = answer.strip().strip("*").strip()
    closing = _PAIRS.get(answer[:1])
    if closing and len(answer) > 1 and answer.find(closing, 1) == len(answer) - 1:
        answer = answer[1:-1].strip()
    return answer
