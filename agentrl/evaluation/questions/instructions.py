r"""What an agent is told about the form of answers, by the scorer that will read them.

GAIA's follows the system prompt of its paper in substance (arXiv 2311.12983, section 3.2),
BrowseComp's openai/simple-evals:browsecomp_eval.py; the wording is ours.
"""

from __future__ import annotations

from collections.abc import Mapping

PLAIN = "plain"

_GAIA = """\
Answer the question. Report your thoughts, and finish with a line of this form:
FINAL ANSWER: [YOUR FINAL ANSWER]
The final answer is a number, or as few words as possible, or a list of numbers or words with \
commas between them. A number is written in digits without commas for thousands, and without units \
or signs such as $ or % unless they are asked for. Words are written without articles and without \
abbreviations, digits in plain text unless they are asked for otherwise. The same holds for each \
element of a list.
"""

_SHORT = """\
Answer the question. Finish with a line of this form, with as few words as possible:
FINAL ANSWER: your answer
"""

_MATHS = r"""
Solve the problem step by step and put the final answer, and nothing else, into \boxed{}.
""".lstrip()

_EXPLAINED = """\
Answer the question. Give your response in this form:
Explanation: how you came to the answer
Exact Answer: the answer, in short
Confidence: how certain you are, from 0 % to 100 %
"""

_PLAIN = "Answer the question as well as you can. Say so if you do not know the answer.\n"

INSTRUCTIONS: Mapping[str, str] = {
    PLAIN: _PLAIN,
    "gaia": _GAIA,
    "qa": _SHORT,
    "musique": _SHORT,
    "triviaqa": _SHORT,
    "maths": _MATHS,
    "hle": _EXPLAINED,
    "browsecomp": _EXPLAINED,
    "webwalker": _SHORT,
    "arpo": _SHORT,
    "simpleqa": _PLAIN,
}
"""By `QuestionForm.scorer`."""
