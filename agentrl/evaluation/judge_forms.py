"""What judges are asked and how their replies are read, one form per protocol.

The wording is ours; what is given to the judge, what it is to answer and how that is read follow
the protocol, so numbers are comparable, not equal, to those of the released prompts.  A report
names the form and the hash of its prompt.

Sources: Alibaba-NLP/WebAgent:WebWalker/src/evaluate.py (LangChain's `cot_qa`),
openai/simple-evals:browsecomp_eval.py and simpleqa_eval.py, centerforaisafety/hle and
RUC-NLPIR/ARPO:evaluation/src/llm_evaluator_sds.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Template

from agentrl.scoring.hendrycks import hendrycks_equal
from agentrl.scoring.judge_text import browsecomp_choice, says_correct

Reading = Callable[[str], tuple[bool | None, str]]
"""Returns whether a reply calls the answer right, None if it says neither, and its own word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeForm:
    """A prompt and how its replies are read.

    Attributes:
        name: in reports.
        template: with `$question`, `$golds` and `$prediction`.
        read: reads a reply.
        equal_is_certain: an answer that equals an accepted one as LaTeX is not judged.
        silence: what the judge would call no answer.
    """

    name: str
    template: str
    read: Reading
    equal_is_certain: bool = False
    silence: str = ""

    @property
    def hash(self) -> str:
        """Identifies the prompt."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:12]

    def prompt(self, question: str, golds: Sequence[str], prediction: str) -> str:
        """Return what the judge is asked; several accepted answers stand on lines of their own."""
        lines = golds if len(golds) == 1 else [f"- {gold}" for gold in golds]
        return Template(self.template).substitute(
            question=question, golds="\n".join(lines), prediction=prediction
        )

    def certain(self, prediction: str, golds: Sequence[str]) -> bool:
        """Whether no judge is needed to see that the answer is right."""
        return self.equal_is_certain and any(hendrycks_equal(prediction, gold) for gold in golds)


_GRADE = re.compile(r"GRADE\W{0,6}(CORRECT|INCORRECT)\b", re.IGNORECASE)
_LETTER = re.compile(r"\W*(A|B|C)\b")
_LETTERS = {"A": "correct", "B": "incorrect", "C": "not attempted"}
NOT_ATTEMPTED = _LETTERS["C"]


def read_grade(reply: str) -> tuple[bool | None, str]:
    """Read the last `GRADE: CORRECT` or `GRADE: INCORRECT`."""
    found = _GRADE.findall(reply)
    if not found:
        return None, ""
    grade = found[-1].lower()
    return grade == "correct", grade


def read_yes_or_no(reply: str) -> tuple[bool | None, str]:
    """Read `correct: yes`; a reply with neither yes nor no counts as no, as in the protocol."""
    choice = browsecomp_choice(reply)
    return choice == "yes", choice


def read_correct(reply: str) -> tuple[bool | None, str]:
    """Read a reply in words; an empty one says nothing."""
    if not reply.strip():
        return None, ""
    correct = says_correct(reply)
    return correct, "correct" if correct else "incorrect"


def read_letter(reply: str) -> tuple[bool | None, str]:
    """Read the letter that a reply begins with."""
    match = _LETTER.match(reply)
    return (match[1] == "A", _LETTERS[match[1]]) if match else (None, "")


_WEBWALKER = """\
You mark the answer of a student. You are given a question, the reference that decides what is \
right, and the student's answer.

Question: $question

Reference: $golds

Student's answer: $prediction

First compare the answer with the reference step by step. Judge facts only: wording, punctuation \
and language do not matter, and more than the reference says is fine as long as nothing in it \
contradicts the reference. Do not state the verdict before you have reasoned.

Then write the verdict on a last line of its own, which must be exactly one of
GRADE: CORRECT
GRADE: INCORRECT
"""

_EXTRACTING = """\
Decide whether a response answers a question correctly. Only the correct answer below counts; do \
not solve the question yourself and do not argue for another answer.

Question: $question

Response: $prediction

Correct answer: $golds

Write these four lines, in this order and in this form:
extracted_final_answer: the final answer that the response settles on, or None without one
reasoning: how the extracted answer differs in meaning from the correct one, and nothing else
correct: yes if both mean the same, where numbers may differ by a small error of rounding; \
otherwise no, also if there is no extracted answer or it is ambiguous
confidence: the certainty from 0 to 100 that the response itself states, or 100 if it states none

The third line must read `correct: yes` or `correct: no`.
"""

_ARPO = """\
Compare a predicted answer with the accepted answer to a question. They need not be worded alike; \
they must mean the same. Where several answers are accepted, matching any one of them is enough.

Question: $question

Accepted: $golds

Predicted: $prediction

Reply with one word: Correct if the prediction is right, Incorrect if it is not.
"""

_SIMPLEQA = """\
Grade the answer to a question of fact as A, B or C.

A, correct: it contains everything essential of the target and nothing that contradicts it. Case, \
spelling, order and hedging do not matter, nor does detail beyond the target; numbers must be \
right to the last digit that the target gives.
B, incorrect: some statement in it contradicts the target, even if it is hedged or half right.
C, not attempted: the target is not given in full and nothing contradicts it, for example because \
the answer says that it does not know.

What the question itself makes clear need not be repeated in the answer.

Question: $question
Target: $golds
Answer: $prediction

Reply with the letter only.
"""

JUDGE_FORMS: Mapping[str, JudgeForm] = {
    form.name: form
    for form in (
        JudgeForm(name="webwalker", template=_WEBWALKER, read=read_grade),
        JudgeForm(name="hle", template=_EXTRACTING, read=read_yes_or_no),
        JudgeForm(name="browsecomp", template=_EXTRACTING, read=read_yes_or_no),
        JudgeForm(name="arpo", template=_ARPO, read=read_correct, equal_is_certain=True),
        JudgeForm(name="simpleqa", template=_SIMPLEQA, read=read_letter, silence=NOT_ATTEMPTED),
    )
}
"""By name."""
