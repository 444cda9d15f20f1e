"""What a model's turn says: calls, an answer, or neither."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentrl.tools.base import ToolCall, ToolResult
from agentrl.types import Shown

Schema = Mapping[str, Any]
"""The OpenAI function schema of a tool (`agentrl.tools.schema_of`)."""


@dataclass(frozen=True, slots=True)
class BadCall:
    """A call that cannot be read.

    Attributes:
        reason: what is wrong, for the model.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's turn.

    Attributes:
        calls: in the order they are written.
        answer: the final answer.
        final: the turn ends the episode; True with an answer, or where a dialect takes a turn
            without a call for the last one.
        problem: what is wrong with a turn that is neither a call nor final; for the model.
    """

    calls: tuple[ToolCall | BadCall, ...] = ()
    answer: str | None = None
    final: bool = False
    problem: str = ""


class Dialect(Protocol):
    """How calls, results and answers are written."""

    @property
    def name(self) -> str:
        """Name in configurations."""

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Texts that end a model's turn."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Texts with a meaning, which a tool's output must not hold."""

    @property
    def in_template(self) -> bool:
        """Whether the chat template shows the tools; otherwise `question` explains them."""

    def question(self, question: str, schemas: Sequence[Schema]) -> str:
        """Return the first user message."""

    def read(self, text: str, schemas: Sequence[Schema]) -> Reply:
        """Read what a model wrote in one turn."""

    def write(self, reply: Reply) -> str:
        """Return the text of a turn that makes the calls, or gives the answer."""

    def results(self, calls: Sequence[str], results: Sequence[ToolResult]) -> Shown:
        """Return what the model is shown after its calls.

        Args:
            calls: names of the tools called; empty for what could not be read.
            results: as many.
        """

    def note(self, text: str) -> Shown:
        """Return what the model is shown after a turn that is neither a call nor final."""


def outside_thoughts(text: str) -> str:
    """Return `text` with everything that is thought in `<think>` replaced by as many spaces.

    A `</think>` that nothing opened closes what the prompt has begun; an open one runs to the end.
    """
    opening, closing = "<think>", "</think>"
    parts: list[str] = []
    place = 0
    first = text.find(closing)
    begun = text.find(opening)
    if first >= 0 and (begun < 0 or first < begun):
        place = first + len(closing)
        parts.append(" " * place)
    while (start := text.find(opening, place)) >= 0:
        end = text.find(closing, start)
        stop = len(text) if end < 0 else end + len(closing)
        parts += [text[place:start], " " * (stop - start)]
        place = stop
    return "".join([*parts, text[place:]])


def blocks(text: str, opening: str, closing: str) -> Iterator[tuple[int, int, str | None]]:
    """Yield start, end and content of blocks that follow one another; None for one left open."""
    place = 0
    while (start := text.find(opening, place)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            yield start, len(text), None
            return
        yield start, end + len(closing), text[start + len(opening) : end]
        place = end + len(closing)


def read_json(text: str) -> tuple[Any, str]:
    """Return a JSON value, and what is wrong with it (empty if nothing)."""
    try:
        return _JSON.decode(text), ""
    except (ValueError, RecursionError) as error:
        return None, str(error) or type(error).__name__


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse)


def parameters_of(name: str, schemas: Sequence[Schema]) -> Mapping[str, Any]:
    """Return the JSON schema of a tool's arguments; empty for an unknown tool."""
    for schema in schemas:
        if schema["function"]["name"] == name:
            found: Mapping[str, Any] = schema["function"]["parameters"]
            return found
    return {}


def only_parameter(name: str, schemas: Sequence[Schema]) -> str:
    """Return the parameter that a tag's text is: the first required one, or the first."""
    parameters = parameters_of(name, schemas)
    names = [*parameters.get("required", ()), *parameters.get("properties", ())]
    return str(names[0]) if names else "text"
