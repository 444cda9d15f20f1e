r"""DAPO's reward: the line `Answer: ...` near the end of a response, else its box; +1 or -1.

Source: verl-project/verl:verl/utils/reward_score/math_dapo.py.
"""

from __future__ import annotations

import re

from agentrl.scoring.boxed import last_boxed

READ_OF_RESPONSE = 300
"""Characters at its end in which the answer is looked for."""
READ_OF_BOX = 100
"""Characters at its end in which a box must lie."""

_ANSWER = re.compile(r"answer\s*:\s*([^\n]+)", re.IGNORECASE)
_REPLACED = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
)
_REMOVED = (
    "square", "ways", "integers", "dollars", "mph", "inches", "hours", "km", "units", "\\ldots",
    "sue", "points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds",
    "meters", "meals", "edges", "students", "childrentickets", "multiples", "\\text{s}",
    "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3", "\\text{\n}", "\\text{}",
    "\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots",
)  # fmt: skip
_UNWRAPPED = (
    re.compile(r"\\text\{(.*?)\}"),
    re.compile(r"\\textbf\{(.*?)\}"),
    re.compile(r"\\overline\{(.*?)\}"),
    re.compile(r"\\boxed\{(.*)\}"),
)
_FRACTION = re.compile(r"frac([^{])(.)")
_ROOT = re.compile(r"sqrt([^{])")


def dapo_reward(response: str, gold: str, *, boxed_only: bool = False) -> float:
    r"""Return 1 if the answer is right, else -1.

    Args:
        response: only its end is read.
        gold: compared with an answer line after normalisation of both, with a box exactly.
        boxed_only: do not look for an answer line.
    """
    line = None if boxed_only else _answer_line(response)
    if line is None:
        return 1.0 if _box(response) == gold else -1.0
    return 1.0 if normalise_answer(line) == normalise_answer(gold) else -1.0


def dapo_answer(response: str) -> str | None:
    """Return the answer of the reward's reading, an answer line normalised; None if none."""
    line = _answer_line(response)
    return _box(response) if line is None else normalise_answer(line)


def normalise_answer(text: str) -> str:
    r"""Return an answer in a common form, without units, articles, `\text{...}` and spaces."""
    text = text.rpartition("=")[2]
    for old, new in _REPLACED:
        text = text.replace(old, new)
    for removed in _REMOVED:
        text = text.replace(removed, "")
    text = "\n".join(map(_in_dollars, text.split("\n")))
    for wrapped in _UNWRAPPED:
        text = wrapped.sub(r"\1", text)
    text = _FRACTION.sub(r"frac{\1}{\2}", text)
    text = _ROOT.sub(r"sqrt{\1}", text).replace("$", "")
    without_commas = text.replace(",", "")
    return without_commas if without_commas.isdigit() else text.strip()


def _answer_line(response: str) -> str | None:
    lines: list[str] = _ANSWER.findall(response[-READ_OF_RESPONSE:])
    return lines[-1] if lines else None


def _box(response: str) -> str | None:
    return last_boxed(response[-READ_OF_BOX:])


def _in_dollars(line: str) -> str:
    """Return what is between a line's first two dollar signs; without two the line."""
    parts = line.split("$", 2)
    return f"${parts[1]}$" if len(parts) == 3 else line
