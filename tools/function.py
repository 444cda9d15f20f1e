"""Tools from plain typed Python functions."""

from __future__ import annotations

import asyncio
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, overload

from agentrl.errors import ConfigError
from agentrl.tools.base import JSON, ToolContext, ToolResult

_TYPES: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_ACCEPTED = "str, int, float, bool, list, dict, Literal and unions of them with None"


class FunctionTool:
    """A function as a tool.

    A plain function runs in a thread, so that it holds up no other call.  A parameter annotated
    with `ToolContext` is not the model's: it gets the context of the call.

    Args:
        function: returns text, a `ToolResult`, or any value, of which `str` is shown.
        name: the function's own name by default.
        timeout: seconds a call may take.

    Raises:
        ConfigError: there is no docstring, or a parameter whose type says nothing to a model.
    """

    def __init__(
        self, function: Callable[..., Any], *, name: str = "", timeout: float = 30.0
    ) -> None:
        self.function = function
        self.name = name or function.__name__
        self.timeout = timeout
        summary, notes = _documentation(function)
        if not summary:
            raise ConfigError(
                f"Tool {self.name!r} has no docstring; its first line tells the model what it does."
            )
        self.description = summary
        self.parameters, self._context = _schema(function, self.name, notes)

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult | str:
        """Call the function."""
        given = dict(arguments) | ({self._context: context} if self._context else {})
        if inspect.iscoroutinefunction(self.function):
            found = await self.function(**given)
        else:
            found = await asyncio.to_thread(self.function, **given)
        return found if isinstance(found, ToolResult) else str(found)

    async def close(self) -> None:
        """Nothing to free."""


@overload
def tool(function: Callable[..., Any], /) -> FunctionTool: ...
@overload
def tool(
    *, name: str = "", timeout: float = 30.0
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, name: str = "", timeout: float = 30.0
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a typed function: `@tool`, or `@tool(name=..., timeout=...)`.

    The first line of its docstring describes the tool, the lines of `Args:` its parameters.
    """
    if function is not None:
        return FunctionTool(function)
    return lambda given: FunctionTool(given, name=name, timeout=timeout)


def _schema(
    function: Callable[..., Any], name: str, notes: Mapping[str, str]
) -> tuple[dict[str, JSON], str]:
    """Return the schema of the parameters, and the name of the one that gets the context."""
    hints = typing.get_type_hints(function, include_extras=True)
    properties: dict[str, JSON] = {}
    required: list[str] = []
    context = ""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"Tool {name!r} takes *{parameter.name}; name every parameter.")
        hint = hints.get(parameter.name)
        if hint is ToolContext:
            context = parameter.name
            continue
        found = _type(hint)
        if found is None:
            raise ConfigError(
                f"Parameter {parameter.name!r} of tool {name!r} has type {hint!r}; annotate it "
                f"with {_ACCEPTED}."
            )
        if parameter.name in notes:
            found.setdefault("description", notes[parameter.name])
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif parameter.default is not None:
            found["default"] = parameter.default
        properties[parameter.name] = found
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }, context


def _type(hint: Any) -> dict[str, JSON] | None:
    """Return the JSON schema of an annotation; None for one that has none."""
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    origin, given = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = _type(given[0])
        text = next((note for note in given[1:] if isinstance(note, str)), None)
        return found if found is None or text is None else found | {"description": text}
    if origin is Literal:
        return {"enum": list(given)}
    if origin in (Union, types.UnionType):
        choices = [{"type": "null"} if one is types.NoneType else _type(one) for one in given]
        return None if None in choices else {"anyOf": choices}
    if hint in (list, Sequence) or origin in (list, Sequence):
        items = _type(given[0]) if given else {}
        return None if items is None else {"type": "array", "items": items}
    if hint in (dict, Mapping) or origin in (dict, Mapping):
        return {"type": "object"}
    return None


def _documentation(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the first paragraph of a docstring, and what its `Args:` says of each parameter."""
    text = inspect.getdoc(function) or ""
    summary = " ".join(text.partition("\n\n")[0].split())
    notes: dict[str, str] = {}
    _, _, section = text.partition("\nArgs:\n")
    name = ""
    for line in section.splitlines():
        if not line.startswith(" "):
            break
        head, colon, rest = line.strip().partition(":")
        if colon and head.isidentifier() and line.startswith("    ") and line[4:5] != " ":
            name, notes[head] = head, rest.strip()
        elif name:
            notes[name] = f"{notes[name]} {line.strip()}"
    return summary, notes
