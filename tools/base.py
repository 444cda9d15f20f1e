"""What a tool is: a name, a JSON schema, and an asynchronous call that never raises.

    calls of the model  ──dialect──>  ToolCall  ──Toolbox──>  Tool.call  ──>  ToolResult  ──>  text

A `Tool` may fail in any way; `Toolbox.run` checks arguments, keeps time and budgets, and turns
whatever goes wrong into a `ToolResult` that tells the model what to do differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

JSON = Any
"""A value that `json` can write and read back unchanged."""


class ToolErrorKind(StrEnum):
    """Why a call gave no result; the first three are the model's doing."""

    MALFORMED = "malformed"
    """The text was no call that can be read."""
    UNKNOWN_TOOL = "unknown_tool"
    ARGUMENTS = "arguments"
    """The arguments do not fit the tool's schema."""
    BUDGET = "budget"
    """The episode has made all the calls it may make."""
    TIMEOUT = "timeout"
    FAILED = "failed"
    """The tool ran and says that it could not do it, for example a page that is not there."""
    UNAVAILABLE = "unavailable"
    """The service behind the tool is down: the episode should not be learned from."""


class ToolError(Exception):
    """Raised inside a tool to tell the model in one sentence why there is no result.

    Args:
        text: what the model is shown.
        kind: why.
    """

    def __init__(self, text: str, kind: ToolErrorKind = ToolErrorKind.FAILED) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call as the model wrote it.

    Attributes:
        name: of the tool.
        arguments: by parameter name.
        id: of the call, where the dialect has ids.
    """

    name: str
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Whose call it is.

    Attributes:
        episode: identifies the episode, for tools that keep something from call to call.
        seed: of the episode's task.
        options: of the episode's task, for example where its files lie.
    """

    episode: str = ""
    seed: int = 0
    options: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What came of a call.

    Attributes:
        text: shown to the model; never empty.
        error: why there is no result; None where there is one.
        seconds: what the call took.
        cached: whether it was answered from a cache.
        metadata: for records and metrics; JSON values only, never shown to the model.
    """

    text: str
    error: ToolErrorKind | None = None
    seconds: float = 0.0
    cached: bool = False
    metadata: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.error is None


@runtime_checkable
class Tool(Protocol):
    """Something an agent can call.

    A tool of an environment is made in the environment's worker process and lives as long as that;
    `close` frees what it holds.
    """

    @property
    def name(self) -> str:
        """What the model calls it: letters, digits and underscores."""

    @property
    def description(self) -> str:
        """What it does, for the model."""

    @property
    def parameters(self) -> Mapping[str, JSON]:
        """JSON schema of the arguments, an object."""

    @property
    def timeout(self) -> float:
        """Seconds a call may take."""

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult | str:
        """Carry a call out; `arguments` fit the schema.  A string is a result without metadata.

        Raises:
            ToolError: there is no result, and the model is told why.
        """

    async def close(self) -> None:
        """Free everything."""


def schema_of(tool: Tool) -> dict[str, JSON]:
    """Return the OpenAI function schema of a tool, as chat templates take it."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
    }
