"""Dialects of chat templates: calls in `<tool_call>`, results as `tool` messages.

Sources: the templates of Qwen2.5, Qwen3 and Qwen3-Coder;
verl-project/verl:verl/experimental/agent_loop/tool_parser.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from agentrl.tools.base import JSON, ToolCall, ToolResult
from agentrl.tools.dialects.reply import (
    BadCall,
    Reply,
    Schema,
    blocks,
    outside_thoughts,
    parameters_of,
    read_json,
)
from agentrl.types import Shown

OPENING, CLOSING = "<tool_call>", "</tool_call>"
FINISH = "finish"
"""A tool of this name, where there is one, gives the answer."""


MOST_CALLS = 100
"""Of a turn that are read; a model that loops writes thousands."""


def _first_blocks(text: str) -> Iterator[tuple[int, int, str | None]]:
    return islice(blocks(text, OPENING, CLOSING), MOST_CALLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chat:
    """What both have in common.

    Attributes:
        thoughts: calls inside `<think>` count, as in verl.
    """

    in_template: ClassVar[bool] = True
    stop_strings: ClassVar[tuple[str, ...]] = ()
    thoughts: bool = False

    @property
    def tags(self) -> tuple[str, ...]:
        """Texts with a meaning."""
        names = ("think", "tool_call", "tool_response")
        return tuple(tag for name in names for tag in (f"<{name}>", f"</{name}>"))

    def question(self, question: str, schemas: Sequence[Schema]) -> str:
        """Return the question; the chat template shows the tools."""
        return question.strip()

    def _reply(self, text: str, calls: Sequence[ToolCall | BadCall]) -> Reply:
        """Return the calls; without any, the text outside of thoughts is the answer."""
        if not calls:
            return Reply(answer=text.strip() or None, final=True)
        for call in calls:
            if isinstance(call, ToolCall) and call.name == FINISH:
                answer = next(iter(call.arguments.values()), None)
                return Reply(answer=None if answer is None else str(answer), final=True)
        return Reply(calls=tuple(calls))

    def results(self, calls: Sequence[str], results: Sequence[ToolResult]) -> Shown:
        """Return one `tool` message for each result, as one group."""
        return [
            {"role": "tool", "name": name or "tool", "content": result.text}
            for name, result in zip(calls, results, strict=True)
        ]

    def note(self, text: str) -> Shown:
        """Return a user message."""
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Hermes(_Chat):
    r"""`<tool_call>\n{"name": .., "arguments": {..}}\n</tool_call>`; without one, the answer."""

    name: ClassVar[str] = "hermes"

    def read(self, text: str, schemas: Sequence[Schema]) -> Reply:
        """Read the first `MOST_CALLS` calls."""
        outside = outside_thoughts(text)
        found = _first_blocks(text if self.thoughts else outside)
        return self._reply(outside, [_hermes_call(content) for _, _, content in found])

    def write(self, reply: Reply) -> str:
        """Return the text of a turn."""
        calls = [call for call in reply.calls if isinstance(call, ToolCall)]
        written = [
            json.dumps({"name": call.name, "arguments": dict(call.arguments)}, ensure_ascii=False)
            for call in calls
        ]
        lines = [f"{OPENING}\n{call}\n{CLOSING}" for call in written]
        return "\n".join(lines) if lines else reply.answer or ""


def _hermes_call(content: str | None) -> ToolCall | BadCall:
    if content is None:
        return BadCall(f"a {OPENING} is not closed by {CLOSING}")
    value, problem = read_json(content.strip())
    if problem:
        return BadCall(f"between {OPENING} and {CLOSING} is no JSON object: {problem}")
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return BadCall('a call is {"name": tool, "arguments": {parameter: value}}')
    arguments = value.get("arguments", {})
    if isinstance(arguments, str):  # some models quote them
        arguments, problem = read_json(arguments)
    if not isinstance(arguments, dict):
        return BadCall(f'the "arguments" of {value["name"]} are no JSON object')
    return ToolCall(name=value["name"], arguments=arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlFunction(_Chat):
    r"""`<tool_call><function=name><parameter=key>\nvalue\n</parameter></function></tool_call>`.

    Values are text; the tool's schema says what to make of it.
    """

    name: ClassVar[str] = "xml_function"

    def read(self, text: str, schemas: Sequence[Schema]) -> Reply:
        """Read the first `MOST_CALLS` calls; one that is left open is read as far as it goes."""
        outside = outside_thoughts(text)
        searched = text if self.thoughts else outside
        calls = []
        for start, end, content in _first_blocks(searched):
            inside = searched[start + len(OPENING) : end] if content is None else content
            calls.append(xml_call(inside, schemas))
        return self._reply(outside, calls)

    def write(self, reply: Reply) -> str:
        """Return the text of a turn."""
        lines = []
        for call in reply.calls:
            if isinstance(call, ToolCall):
                values = "".join(
                    f"<parameter={key}>\n{_xml_value(value)}\n</parameter>\n"
                    for key, value in call.arguments.items()
                )
                lines.append(f"{OPENING}\n<function={call.name}>\n{values}</function>\n{CLOSING}")
        return "\n".join(lines) if lines else reply.answer or ""


def xml_call(content: str, schemas: Sequence[Schema]) -> ToolCall | BadCall:
    """Read what is inside `<tool_call>`."""
    start = content.find("<function=")
    name_end = content.find(">", start)
    if start < 0 or name_end < 0:
        return BadCall("a call is <function=tool><parameter=name>value</parameter></function>")
    name = content[start + len("<function=") : name_end].strip()
    if "<" in name or not name:
        return BadCall(f"<function={name[:50]}> names no tool")
    body = content[name_end + 1 :].partition("</function>")[0]
    types = parameters_of(name, schemas).get("properties", {})
    arguments: dict[str, JSON] = {}
    for begin, end, inside in blocks(body, "<parameter=", "</parameter>"):
        written = body[begin + len("<parameter=") : end] if inside is None else inside
        key, found, value = written.partition(">")
        if not found:
            return BadCall(f"<parameter={key[:50]} is not closed by >")
        text = value.removeprefix("\n").removesuffix("\n")
        arguments[key.strip()] = converted(text, types.get(key.strip(), {}))
    return ToolCall(name=name, arguments=arguments)


def converted(text: str, schema: Mapping[str, Any]) -> JSON:
    """Return the value that a parameter's text stands for; the text itself where it is none."""
    kind = schema.get("type", "string")
    kinds = kind if isinstance(kind, list) else [kind]
    if "null" in kinds and text.strip() == "null":
        return None
    if "boolean" in kinds and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        if "integer" in kinds:
            return int(text)
        if "number" in kinds:
            return float(text)
    except ValueError:
        return text
    if {"object", "array"} & set(kinds):
        value, problem = read_json(text)
        return text if problem else value
    return text


def _xml_value(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
