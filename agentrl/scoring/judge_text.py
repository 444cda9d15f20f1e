"""What a judge model's reply says: is the answer right.

Sources: RUC-NLPIR/ARPO:evaluation/src/llm_evaluator_sds.py and
openai/simple-evals:browsecomp_eval.py.
"""

from __future__ import annotations

import re

_JUDGMENT, _JUDGMENT_END = "<judgment>", "</judgment>"
_DENIALS = ("incorrect", "wrong", "not correct")
_BROWSECOMP = re.compile(r"correct: (yes|no)")


def says_correct(reply: str) -> bool:
    """Read a reply to ARPO's prompt: "correct", and neither "incorrect", "wrong" nor "not correct".

    Only what stands in a `<judgment>` block counts, where there is one.
    """
    start, end = reply.find(_JUDGMENT), reply.find(_JUDGMENT_END)
    if start >= 0 and end >= 0:
        reply = reply[start + len(_JUDGMENT) : end]
    reply = reply.lower()
    return "correct" in reply and not any(denial in reply for denial in _DENIALS)


def browsecomp_choice(reply: str) -> str:
    """Return the `yes` or `no` of a reply to BrowseComp's prompt; `no` if it gives neither.

    The released code compares the whole match, "correct: yes", with "yes", so that its accuracy is
    always 0.
    """
    match = _BROWSECOMP.search(reply)
    return match[1] if match else "no"


def browsecomp_says_correct(reply: str) -> bool:
    """Say whether a reply to BrowseComp's prompt calls the answer correct."""
    return browsecomp_choice(reply) == "yes"
