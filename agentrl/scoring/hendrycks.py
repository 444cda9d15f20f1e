r"""The MATH data set's comparison of LaTeX answers, as strings after a little normalisation.

It knows `\frac12`, `1/2` and `0.5`, units at the end, `x = ` at the beginning and the like, and no
mathematics; for that there is `maths.MathsScorer`.

Source: verl-project/verl:verl/utils/reward_score/math_reward.py.
"""

from __future__ import annotations

import re

from agentrl.scoring.boxed import content_of, last_box

_REPLACED = (
    ("\n", ""),
    ("\\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    ("\\left", ""),
    ("\\right", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("\\$", ""),
)
_UNIT = "\\text{ "
_INTEGER_RATIO = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")


def math_reward(response: str, gold: str) -> float:
    """Return 1 if the last box of a response equals the gold answer as a string, else 0."""
    box = last_box(response)
    answer = None if box is None else content_of(box)
    return float(answer is not None and hendrycks_equal(answer, gold))


def hendrycks_equal(first: str, second: str) -> bool:
    """Say whether two answers are equal after normalisation, or as they are if one has none."""
    try:
        return normalise_latex(first) == normalise_latex(second)
    except ValueError:
        return first == second


def normalise_latex(text: str) -> str:
    r"""Return an answer in a common form.

    Raises:
        ValueError: it has two units, or ends in `\frac` or `\sqrt`.
    """
    for old, new in _REPLACED:
        text = text.replace(old, new)
    text = _without_unit(text).replace("\\\\%", "").replace("\\%", "")
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if text.startswith("."):
        text = "0" + text
    name, equals, value = text.partition("=")
    if equals and len(name) <= 2 and "=" not in value:
        text = value
    text = _brace_fractions(_brace_roots(text).replace(" ", ""))
    if text == "0.5":
        return "\\frac{1}{2}"
    return _INTEGER_RATIO.sub(r"\\frac{\1}{\2}", text) if _INTEGER_RATIO.fullmatch(text) else text


def _without_unit(text: str) -> str:
    if text.count(_UNIT) > 1:
        raise ValueError("two units")
    return text.partition(_UNIT)[0]


def _brace_roots(text: str) -> str:
    r"""Write `\sqrt3` as `\sqrt{3}`."""
    before, *parts = text.split("\\sqrt")
    if not all(parts):
        raise ValueError("no root's argument")
    braced = (part if part.startswith("{") else f"{{{part[0]}}}{part[1:]}" for part in parts)
    return "\\sqrt".join([before, *braced])


def _brace_fractions(text: str) -> str:
    r"""Write `\frac12` as `\frac{1}{2}` and `\frac1{72}` as `\frac{1}{72}`.

    One that is cut short, such as `\frac1`, leaves all as they are.
    """
    before, *parts = text.split("\\frac")
    braced = [before]
    for part in parts:
        if not part:
            raise ValueError("no fraction's numerator")
        if part.startswith("{"):
            braced.append(part)
        elif len(part) == 1:
            return text
        else:
            rest = part[1:] if part[1] == "{" else f"{{{part[1]}}}{part[2:]}"
            braced.append(f"{{{part[0]}}}{rest}")
    return "\\frac".join(braced)
