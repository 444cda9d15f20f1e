"""The prompts of tool environments: one for each dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from agentrl.envs.base import Info, ParsedAction
from agentrl.envs.tooluse.action import Action
from agentrl.tools.base import ToolErrorKind, ToolResult
from agentrl.tools.dialects import DIALECTS, BadCall, Dialect
from agentrl.tools.dialects.reply import Schema
from agentrl.types import Continued, Shown


@dataclass(frozen=True, slots=True)
class ToolPrompt:
    """Shows a question and results as a dialect does, and reads calls and answers.

    Attributes:
        dialect: how they are written.
        schemas: of the environment's tools.
        instruct: the first message explains the tools and how to answer; False shows the bare
            question, for small models that have learned the form.
    """

    wording: ClassVar[int] = 1

    dialect: Dialect
    schemas: tuple[Schema, ...]
    instruct: bool = True

    @property
    def version(self) -> int:
        """Version of the text."""
        return self.wording

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Those of the dialect."""
        return self.dialect.stop_strings

    @property
    def continues(self) -> bool:
        """Whether results stand inside the model's own turn."""
        return isinstance(self.dialect.note(""), Continued)

    @property
    def tools(self) -> tuple[Schema, ...] | None:
        """What the chat template shows; None where the message explains the tools."""
        return self.schemas if self.dialect.in_template and self.schemas else None

    def system(self, info: Info) -> str | None:
        """Return None: everything stands in the first message."""
        return None

    def observe(self, observation: str, info: Info) -> Shown:
        """Return the question, or what came of the last turn."""
        if info.get("tool_results"):
            found = info["tool_results"]
            results = [ToolResult(text=r["text"], error=_kind(r["error"])) for r in found]
            return self.dialect.results([r["name"] for r in found], results)
        if info.get("note"):
            return self.dialect.note(info["note"])
        return self.dialect.question(observation, self.schemas) if self.instruct else observation

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Read a turn; whatever it says is sent, so that the answer can say what was wrong."""
        reply = self.dialect.read(text, self.schemas)
        bad = [call.reason for call in reply.calls if isinstance(call, BadCall)]
        unanswered = reply.final and reply.answer is None
        reason = reply.problem or "; ".join(bad) or ("no answer" if unanswered else "")
        return ParsedAction(Action(reply, text).to_text(), not reason, reason)

    def answer(self, action: str) -> str:
        """Return the text of a model's turn that takes an action."""
        found = Action.of(action, self.schemas)
        return found.text or self.dialect.write(found.reply)


def tool_prompts(schemas: Sequence[Schema]) -> Mapping[str, Any]:
    """Return the prompts of an environment by name: the dialects, and `-bare` ones."""
    fixed = tuple(schemas)
    full = {name: ToolPrompt(dialect, fixed) for name, dialect in DIALECTS.items()}
    bare = {f"{name}-bare": ToolPrompt(one.dialect, fixed, False) for name, one in full.items()}
    return full | bare


def _kind(text: str | None) -> ToolErrorKind | None:
    return None if text is None else ToolErrorKind(text)
