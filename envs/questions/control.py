r"""Control characters in questions, the trace of a backslash that was read as an escape.

In a careless copy `\boxed` has become a backspace and `oxed`, `\frac` a form feed and `rac`
(for example in the training files of RUC-NLPIR/ARPO).  A model would be trained or tested on a
damaged question without anyone noticing, so such rows are refused, left out or mended.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from agentrl.envs.questions.question import Question
from agentrl.errors import DataError

Damage = Literal["refuse", "drop", "mend"]
"""What to do about a row with control characters other than tab and newline.

`mend` writes back the escape that each of them comes from; a row with others is refused.
"""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ESCAPES = str.maketrans({"\a": r"\a", "\b": r"\b", "\f": r"\f", "\r": r"\r", "\v": r"\v"})


def control_character(question: Question) -> str:
    """Return the first control character in question or answers; empty without one."""
    for text in (question.question, *question.answers):
        if found := _CONTROL.search(text):
            return found[0]
    return ""


def clean(question: Question, damaged: Damage, place: str) -> Question | None:
    """Return a question without control characters; None if its row is to be dropped.

    Args:
        question: as read.
        damaged: what to do if there are any.
        place: of the row, for errors.

    Raises:
        DataError: there are some, and they are to be refused or cannot be mended.
    """
    if not control_character(question):
        return question
    if damaged == "drop":
        return None
    if damaged == "mend":
        question = dataclasses.replace(
            question,
            question=question.question.translate(_ESCAPES),
            answers=tuple(answer.translate(_ESCAPES) for answer in question.answers),
        )
    if found := control_character(question):
        raise DataError(
            f"{place} holds the control character U+{ord(found):04X}, probably a backslash that "
            "was read as an escape. Mend the file, or load it with damaged='mend' (the escapes are "
            "written back) or damaged='drop' (such rows are left out)."
        )
    return question
