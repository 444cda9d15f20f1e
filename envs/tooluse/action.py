"""What is sent to a tool environment: a model's turn, read by its dialect, as text.

Models' turns are JSON.  People, experts and tests may write `search: who wrote Emma`, or
`answer: Jane Austen`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentrl.tools.base import ToolCall
from agentrl.tools.dialects.reply import BadCall, Reply, Schema, only_parameter

ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Action:
    """A turn.

    Attributes:
        reply: what it says.
        text: the model's own words; empty where it has not been a model.
    """

    reply: Reply
    text: str = ""

    def to_text(self) -> str:
        """Return the action for the environment."""
        calls: list[dict[str, Any]] = []
        for call in self.reply.calls:
            if isinstance(call, BadCall):
                calls.append({"bad": call.reason})
            else:
                calls.append({"name": call.name, "arguments": dict(call.arguments)})
        content = {
            "text": self.text,
            "calls": calls,
            "answer": self.reply.answer,
            "final": self.reply.final,
            "problem": self.reply.problem,
        }
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def of(cls, text: str, schemas: Sequence[Schema]) -> Action:
        """Read an action; what is none of the accepted forms has a `problem`."""
        if text.lstrip().startswith("{"):
            found = _from_json(text)
            if found is not None:
                return found
        name, colon, rest = text.partition(":")
        name, rest = name.strip(), rest.strip()
        if colon and name == ANSWER:
            return cls(Reply(answer=rest, final=True))
        names = [schema["function"]["name"] for schema in schemas]
        if colon and name in names:
            call = ToolCall(name=name, arguments={only_parameter(name, schemas): rest})
            return cls(Reply(calls=(call,)))
        forms = ", ".join(f"`{name}: ...`" for name in [*names, ANSWER])
        return cls(Reply(problem=f"The turn was neither a call nor an answer; write {forms}."))


def call_text(name: str, argument: str) -> str:
    """Return the action of people and experts that calls a tool."""
    return f"{name}: {argument}"


def answer_text(answer: str) -> str:
    """Return the action of people and experts that gives the answer."""
    return f"{ANSWER}: {answer}"


def _from_json(text: str) -> Action | None:
    try:
        content = json.loads(text)
        calls = tuple(
            BadCall(str(call["bad"]))
            if "bad" in call
            else ToolCall(name=str(call["name"]), arguments=dict(call["arguments"]))
            for call in content["calls"]
        )
        answer = content["answer"]
        reply = Reply(
            calls=calls,
            answer=None if answer is None else str(answer),
            final=bool(content["final"]),
            problem=str(content["problem"]),
        )
        return Action(reply, str(content["text"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
