"""How an answer is to be written, and the prompts that ask for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agentrl.envs.base import Info, ParsedAction
from agentrl.scoring.boxed import last_boxed


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How an answer is to be written.

    Attributes:
        instruction: stands after the problem.
        before: an answer itself.
        after: an answer itself.
        has: whether a text has the form.
        missing: what to say of one that has not.
    """

    instruction: str = ""
    before: str = ""
    after: str = ""
    has: Callable[[str], object] = bool
    missing: str = ""

    def written(self, answer: str) -> str:
        """Return an answer in the form; one that has it already stays as it is."""
        has_it = self.before and self.before in answer
        return answer if has_it else f"{self.before}{answer}{self.after}"

    def problem(self, text: str) -> str:
        """Return what is wrong with a text; empty if nothing is."""
        if not text.strip():
            return "empty answer"
        return "" if self.has(text) else self.missing


FORMS: Mapping[str, Form] = {
    "boxed": Form(
        instruction="\nReason step by step, and put the final answer in \\boxed{}.",
        before="\\boxed{",
        after="}",
        has=lambda text: last_boxed(text) is not None,
        missing="no \\boxed{} with the answer",
    ),
    "answer_line": Form(
        instruction="\nSolve it step by step. The last line is `Answer: $Answer`, the answer "
        "to the problem.",
        before="Answer: ",
        has=re.compile(r"answer\s*:", re.IGNORECASE).search,
        missing="no line `Answer: ...`",
    ),
    "hashes": Form(
        instruction="\nReason step by step. The last line is #### and the answer, a number.",
        before="#### ",
        has=lambda text: "####" in text,
        missing="no #### with the answer",
    ),
    "bare": Form(),
    "given": Form(),
}
"""By name.  `given`: the problem itself says how, as those of DAPO-Math-17k do."""


@dataclass(frozen=True, slots=True)
class MathPrompt:
    """The problem, and how to answer it; the whole answer is the action.

    Attributes:
        form: a name of `FORMS`; None takes the one that the task names.
        stop_strings: none: the model ends its turn.
    """

    wording: ClassVar[int] = 1

    form: str | None = None
    stop_strings: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """Version of the text."""
        return self.wording

    def system(self, info: Info) -> str | None:
        """Return None."""
        return None

    def observe(self, observation: str, info: Info) -> str:
        """Return the problem with the instruction."""
        return f"{observation}{self._form(info).instruction}"

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Return the whole text; it is not valid if it has not the asked form."""
        problem = self._form(info).problem(text)
        return ParsedAction(text, not problem, problem)

    def answer(self, action: str) -> str:
        """Return the text of a turn that gives an answer."""
        return action if self.form is None else FORMS[self.form].written(action)

    def _form(self, info: Info) -> Form:
        return FORMS[self.form or info.get("form") or "boxed"]


PROMPTS: Mapping[str, Any] = {
    "task": MathPrompt(),
    "boxed": MathPrompt("boxed"),
    "bare": MathPrompt("bare"),
    "dapo": MathPrompt("answer_line"),
    "gsm8k": MathPrompt("hashes"),
}
"""By name; `task` asks for the form that the task's judge reads."""
