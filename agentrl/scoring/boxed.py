r"""The answer in a LaTeX box: `\boxed{...}` with matching braces.

Two readings are in use.  `last_boxed` takes the last `\boxed{` and nothing else, as DAPO does;
`last_box` and `content_of` are the older pair of the MATH data set, which also know `\boxed 5` and
`\fbox{5}`.  In both a last box that is never closed hides those before it.

Sources: verl-project/verl:verl/utils/reward_score/math_dapo.py and math_reward.py.
"""

from __future__ import annotations

import re

_BRACE = re.compile(r"[{}]")
_BRACE_NOT_ESCAPED = re.compile(r"\\.|[{}]", re.DOTALL)
_BOX, _BOX_SPACE = "\\boxed{", "\\boxed "


def last_boxed(text: str, *, skip_escaped: bool = False) -> str | None:
    r"""Return the content of the last `\boxed{...}`; None if there is none or it is not closed.

    Args:
        text: anything.
        skip_escaped: leave `\{` and `\}` out of the count of braces, as LaTeX does; the official
            rewards count them.
    """
    start = text.rfind(_BOX)
    if start < 0:
        return None
    end = closing_brace(text, start + len(_BOX) - 1, skip_escaped)
    return None if end is None else text[start + len(_BOX) : end]


def last_box(text: str) -> str | None:
    r"""Return the last box with its command, as written: `\boxed{5}`, `\boxed 5` or `\fbox{5}`.

    `\boxed ` with a space goes before all others and ends at the next `$`; `\fbox` counts only
    where there is no `\boxed`.
    """
    if _BOX_SPACE in text:
        return _BOX_SPACE + text.rpartition(_BOX_SPACE)[2].partition("$")[0]
    start = text.rfind("\\boxed")
    if start < 0 and (start := text.rfind("\\fbox")) < 0:
        return None
    end = closing_brace(text, start)
    return None if end is None else text[start : end + 1]


def content_of(box: str) -> str | None:
    r"""Return what is in a box of `last_box`; None for anything but `\boxed{5}` and `\boxed 5`."""
    if box.startswith(_BOX_SPACE):
        return box.removeprefix(_BOX_SPACE)
    if box.startswith(_BOX) and box.endswith("}"):
        return box[len(_BOX) : -1]
    return None


def closing_brace(text: str, start: int, skip_escaped: bool = False) -> int | None:
    """Return the first place at which all braces opened from `start` on are closed again."""
    depth = 0
    for match in (_BRACE_NOT_ESCAPED if skip_escaped else _BRACE).finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return None
