"""Carries out the calls of one episode: checks, budgets, deadlines; it never raises."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from agentrl.errors import ConfigError
from agentrl.tools.base import (
    JSON,
    Tool,
    ToolCall,
    ToolContext,
    ToolError,
    ToolErrorKind,
    ToolResult,
    schema_of,
)
from agentrl.tools.dialects.reply import BadCall

CUT = " [...]"
"""Ends a result that was too long."""
_NOTHING = "The tool {name} returned nothing."


@dataclass(slots=True)
class ToolCounts:
    """What one tool was used for in an episode.

    Attributes:
        calls: all of them.
        errors: failed ones by kind.
        cached: answered from a cache.
        seconds: of each call.
        characters: of all results.
    """

    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    seconds: list[float] = field(default_factory=list)
    characters: int = 0

    def add(self, result: ToolResult) -> None:
        """Count a result."""
        self.calls += 1
        self.errors.update([result.error.value] if result.error else [])
        self.cached += result.cached
        self.seconds.append(result.seconds)
        self.characters += len(result.text)


class Toolbox:
    """The tools of an episode, and what it may do with them.

    Args:
        tools: their names differ.
        max_calls: calls the whole episode may make; None for any number.
        max_parallel_calls: calls one turn may make; the others are refused.
        max_characters: of one result; longer ones are cut at the end, visibly.
        tags: texts with a meaning to the dialect; results get a zero-width space into them.

    Raises:
        ConfigError: two tools have one name, or a schema is none.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        max_calls: int | None = None,
        max_parallel_calls: int = 4,
        max_characters: int = 8000,
        tags: Sequence[str] = (),
    ) -> None:
        self.tools = {tool.name: tool for tool in tools}
        if len(self.tools) < len(tools):
            twice = next(name for name, n in Counter(t.name for t in tools).items() if n > 1)
            raise ConfigError(f"Two tools are named {twice!r}; names must differ.")
        self.max_calls = max_calls
        self.max_parallel_calls = max_parallel_calls
        self.max_characters = max_characters
        self.tags = tuple(tags)
        self.calls_made = 0
        self.counts: dict[str, ToolCounts] = {}

    @property
    def schemas(self) -> list[dict[str, JSON]]:
        """The tools as chat templates take them."""
        return [schema_of(tool) for tool in self.tools.values()]

    @property
    def calls_left(self) -> int | None:
        """Calls the episode may still make; None for any number."""
        return None if self.max_calls is None else max(0, self.max_calls - self.calls_made)

    def metrics(self) -> dict[str, float]:
        """Return what the episode has used each tool for; `unread` is what named none.

        Seconds are left out (`counts` has them): records of equal episodes are equal.
        """
        found: dict[str, float] = {}
        for name, counts in self.counts.items():
            values = {
                "calls": counts.calls,
                "failed": sum(counts.errors.values()),
                "cached": counts.cached,
                "characters": counts.characters,
            }
            found |= {f"tools/{name or 'unread'}/{key}": float(v) for key, v in values.items()}
        return found

    async def run(
        self, calls: Sequence[ToolCall | BadCall], context: ToolContext
    ) -> list[ToolResult]:
        """Carry out the calls of a turn at the same time; results in their order."""
        allowed: list[ToolCall | BadCall | ToolResult] = []
        for number, call in enumerate(calls):
            allowed.append(call if isinstance(call, BadCall) else self._admitted(call, number))
        results = await asyncio.gather(*(self._run(call, context) for call in allowed))
        for call, result in zip(calls, results, strict=True):
            name = call.name if isinstance(call, ToolCall) and call.name in self.tools else ""
            self.counts.setdefault(name, ToolCounts()).add(result)
        return list(results)

    async def close(self) -> None:
        """Close all tools."""
        await asyncio.gather(*(tool.close() for tool in self.tools.values()))

    def _admitted(self, call: ToolCall, number: int) -> ToolCall | ToolResult:
        """Return the call if the budget allows it, and count it; else what the model is told."""
        if number >= self.max_parallel_calls:
            text = f"At most {self.max_parallel_calls} calls are carried out in one turn."
            return ToolResult(text=text, error=ToolErrorKind.BUDGET)
        if self.calls_left == 0:
            text = f"All {self.max_calls} tool calls have been made; give the answer now."
            return ToolResult(text=text, error=ToolErrorKind.BUDGET)
        self.calls_made += 1
        return call

    async def _run(self, call: ToolCall | BadCall | ToolResult, context: ToolContext) -> ToolResult:
        if isinstance(call, ToolResult):
            return call
        if isinstance(call, BadCall):
            text = f"The call could not be read: {call.reason}."
            return ToolResult(text=self.shown(text), error=ToolErrorKind.MALFORMED)
        started = time.perf_counter()
        result = await self._outcome(call, context)
        text = self.shown(result.text.strip() or _NOTHING.format(name=call.name))
        return replace(result, text=text, seconds=time.perf_counter() - started)

    async def _outcome(self, call: ToolCall, context: ToolContext) -> ToolResult:
        tool = self.tools.get(call.name)
        if tool is None:
            text = f"There is no tool {call.name[:50]!r}; there are: {', '.join(self.tools)}."
            return ToolResult(text=text, error=ToolErrorKind.UNKNOWN_TOOL)
        problem = objection(tool, call.arguments)
        if problem:
            return ToolResult(text=problem, error=ToolErrorKind.ARGUMENTS)
        try:
            async with asyncio.timeout(tool.timeout):
                found = await tool.call(call.arguments, context)
        except TimeoutError:
            text = f"The tool {tool.name} did not answer within {tool.timeout:g} s."
            return ToolResult(text=text, error=ToolErrorKind.TIMEOUT)
        except ToolError as error:
            return ToolResult(text=str(error), error=error.kind)
        except Exception as error:
            text = f"The tool {tool.name} failed."
            metadata = {"exception": f"{type(error).__name__}: {error}"}
            return ToolResult(text=text, error=ToolErrorKind.FAILED, metadata=metadata)
        return found if isinstance(found, ToolResult) else ToolResult(text=found)

    def shown(self, text: str) -> str:
        """Return text as a model may see it: cut, and without the dialect's tags."""
        if len(text) > self.max_characters:
            text = text[: self.max_characters] + CUT
        for tag in self.tags:
            text = text.replace(tag, f"{tag[0]}\u200b{tag[1:]}")
        return text


def objection(tool: Tool, arguments: Mapping[str, JSON]) -> str:
    """Return why arguments do not fit a tool's schema, for the model; empty if they do."""
    error = best_match(_validator(_Frozen(tool.parameters, tool.name)).iter_errors(dict(arguments)))
    if error is None:
        return ""
    where = ".".join(str(part) for part in error.absolute_path)
    place = f"argument {where!r}" if where else "the arguments"
    properties = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", ())
    takes = ", ".join(name if name in required else f"{name} (optional)" for name in properties)
    message = error.message if len(error.message) < 200 else f"{error.message[:200]}..."
    return f"The tool {tool.name} cannot take {place}: {message}. It takes: {takes or 'nothing'}."


class _Frozen:
    """A schema by identity, so that its validator is made once."""

    def __init__(self, schema: Mapping[str, Any], name: str) -> None:
        self.schema, self.name = schema, name

    def __hash__(self) -> int:
        return hash((self.name, id(self.schema)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.schema is self.schema


@lru_cache(maxsize=256)
def _validator(frozen: _Frozen) -> Draft202012Validator:
    schema = dict(frozen.schema)
    try:
        Draft202012Validator.check_schema(schema)
    except Exception as error:
        raise ConfigError(f"`parameters` of tool {frozen.name!r} are no JSON schema.") from error
    return Draft202012Validator(schema)
