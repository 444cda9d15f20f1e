"""Dialects of tags in plain text: calls and results all lie in one turn of the model.

Sources: PeterGriffinJin/Search-R1:search_r1/llm_agent/generation.py;
RUC-NLPIR/ARPO:ARPO/verl_arpo_entropy/verl/workers/rollout/vllm_rollout/vllm_rollout_with_tools.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from agentrl.tools.base import ToolCall, ToolResult
from agentrl.tools.dialects.reply import (
    BadCall,
    Reply,
    Schema,
    only_parameter,
    outside_thoughts,
)
from agentrl.types import Continued, Shown

ANSWER = "answer"


def first_block(text: str, names: Sequence[str]) -> tuple[str, str, int] | None:
    """Return name, content and end of the block `<name>..</name>` that opens first; or None."""
    found: tuple[int, str, str, int] | None = None
    for name in names:
        opening, closing = f"<{name}>", f"</{name}>"
        start = text.find(opening)
        end = text.find(closing, start + len(opening)) if start >= 0 else -1
        if end >= 0 and (found is None or start < found[0]):
            found = start, name, text[start + len(opening) : end], end + len(closing)
    return None if found is None else found[1:]


def last_block(text: str, name: str) -> str:
    """Return what lies between the last closing tag and the last opening one before it, stripped.

    Empty where there is none, as in ARPO's `_extract_content`.
    """
    end = text.rfind(f"</{name}>")
    start = text.rfind(f"<{name}>", 0, end) if end >= 0 else -1
    return text[start + len(name) + 2 : end].strip() if start >= 0 else ""


def _described(schemas: Sequence[Schema]) -> str:
    lines = []
    for schema in schemas:
        name = schema["function"]["name"]
        shown = only_parameter(name, schemas)
        lines.append(f"<{name}> {shown} </{name}>: {schema['function']['description']}")
    return "\n".join(lines)


def _written(reply: Reply, schemas_text: dict[str, str]) -> str:
    for call in reply.calls:
        if isinstance(call, ToolCall):
            text = next(iter(call.arguments.values()), "")
            return f"<{call.name}>{text}</{call.name}>"
    return schemas_text[ANSWER].format(reply.answer or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchR1:
    r"""`<search>query</search>`, results in `<information>`, `<answer>` ends the episode.

    The first block counts, and what follows it is left to the model's own conscience.  Any tool is
    called by a tag of its name, whose text is the tool's first parameter.

    Attributes:
        thoughts: calls inside `<think>` count, as in the released code.
        stop: sampling ends at a call; in the released code it goes on and the rest is thrown away.
    """

    name: ClassVar[str] = "search_r1"
    in_template: ClassVar[bool] = False
    thoughts: bool = False
    stop: bool = True

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The closing tags of calls and answer."""
        return ("</search>", "</python>", "</browse>", "</answer>") if self.stop else ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Texts with a meaning."""
        return _tags("think", "search", "python", "browse", "information", ANSWER)

    def question(self, question: str, schemas: Sequence[Schema]) -> str:
        """Return the instruction and the question."""
        return (
            "Answer the question. Reason between <think> and </think> first, and whenever you "
            "have learned something new. If you need knowledge, call a tool:\n"
            f"{_described(schemas)}\n"
            "What it finds is shown between <information> and </information>. You may do that as "
            "often as you want. Once you know enough, give the answer between <answer> and "
            "</answer>, without explanations, for example <answer> Beijing </answer>.\n"
            f"Question: {question.strip()}{'' if question.strip().endswith('?') else '?'}\n"
        )

    def read(self, text: str, schemas: Sequence[Schema]) -> Reply:
        """Read the first block."""
        searched = text if self.thoughts else outside_thoughts(text)
        names = [schema["function"]["name"] for schema in schemas]
        found = first_block(searched, [*names, ANSWER])
        if found is None:
            forms = " or ".join(f"<{name}> and </{name}>" for name in [*names, ANSWER])
            return Reply(problem=f"My last turn was neither a call nor an answer: I write {forms}.")
        name, content = found[0], found[1].strip()
        if name == ANSWER:
            return Reply(answer=content, final=True)
        return Reply(calls=(_call(name, content, schemas),))

    def write(self, reply: Reply) -> str:
        """Return the text of a turn."""
        return _written(reply, {ANSWER: "<answer>{}</answer>"})

    def results(self, calls: Sequence[str], results: Sequence[ToolResult]) -> Shown:
        """Return the information block, which continues the model's turn."""
        text = "\n".join(result.text for result in results).strip()
        return Continued(f"\n\n<information>{text}</information>\n\n")

    def note(self, text: str) -> Shown:
        """Return a thought of the model's own, as the released code writes it."""
        return Continued(f"\n{text} I try again.\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arpo:
    r"""`<search>` and `<python>`, results in `<result>`, the answer in `\boxed{}` in `<answer>`.

    The call is the one that stopped the sampling; a turn without a call is the last one.

    Attributes:
        evaluation: results are written as in the released evaluation, without space and newlines.
    """

    name: ClassVar[str] = "arpo"
    in_template: ClassVar[bool] = False
    stop_strings: ClassVar[tuple[str, ...]] = ("</search>", "</python>", "</browse>")
    evaluation: bool = False

    @property
    def tags(self) -> tuple[str, ...]:
        """Texts with a meaning."""
        return _tags("think", "search", "python", "browse", "result", ANSWER)

    def question(self, question: str, schemas: Sequence[Schema]) -> str:
        """Return the instruction and the question."""
        return (
            "Solve the task step by step. Think between <think> and </think>. You may call "
            f"tools:\n{_described(schemas)}\n"
            "The result is shown between <result> and </result>. At the end, write the answer "
            "between <answer> and </answer>, the exact answer itself in \\boxed{}, for example "
            "<answer> The answer is \\boxed{42} </answer>.\n"
            f"{question.strip()}"
        )

    def read(self, text: str, schemas: Sequence[Schema]) -> Reply:
        """Read the call at the end, or the answer."""
        names = [schema["function"]["name"] for schema in schemas]
        ended = outside_thoughts(text).rstrip()
        for name in names:
            if ended.endswith(f"</{name}>"):
                content = last_block(ended, name)
                if not content:
                    return Reply(final=True)  # as released: an empty call ends the episode
                return Reply(calls=(_call(name, content, schemas),))
        answer = last_block(ended, ANSWER)
        return Reply(answer=answer or None, final=True)

    def write(self, reply: Reply) -> str:
        """Return the text of a turn."""
        return _written(reply, {ANSWER: "<answer>\\boxed{{{}}}</answer>"})

    def results(self, calls: Sequence[str], results: Sequence[ToolResult]) -> Shown:
        """Return the result block, which continues the model's turn."""
        text = "\n".join(result.text for result in results)
        return Continued(
            f"<result>{text}</result>" if self.evaluation else f" <result>\n{text}\n</result>"
        )

    def note(self, text: str) -> Shown:
        """Return a result block with what is wrong."""
        return self.results([""], [ToolResult(text=text)])


def _call(name: str, content: str, schemas: Sequence[Schema]) -> ToolCall | BadCall:
    if not content:
        return BadCall(f"<{name}></{name}> is empty")
    return ToolCall(name=name, arguments={only_parameter(name, schemas): content})


def _tags(*names: str) -> tuple[str, ...]:
    return tuple(tag for name in names for tag in (f"<{name}>", f"</{name}>"))
