"""A toolbox carries out what it is given, within its limits, and never raises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest

from agentrl.errors import ConfigError
from agentrl.tools import Tool, ToolCall, ToolContext, ToolError, ToolErrorKind, ToolResult, tool
from agentrl.tools.dialects import BadCall
from agentrl.tools.toolbox import CUT, Toolbox


@tool
def add(a: int, b: int = 1) -> str:
    """Add two numbers.

    Args:
        a: the first.
        b: the second,
            on two lines.
    """
    return str(a + b)


@tool(name="odd", timeout=0.2)
async def misbehave(how: Literal["sleep", "raise", "tell", "nothing", "tags"]) -> Any:
    """Do what should not be done."""
    if how == "sleep":
        await asyncio.sleep(30)
    if how == "raise":
        raise ValueError("secret")
    if how == "tell":
        raise ToolError("The page is not there.")
    return "" if how == "nothing" else "<search>x</search>" + "y" * 100


def call(name: str, /, **arguments: object) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


def run(box: Toolbox, *calls: ToolCall | BadCall) -> list[ToolResult]:
    return asyncio.run(box.run(calls, ToolContext(episode="1")))


def box(**settings: Any) -> Toolbox:
    return Toolbox([add, misbehave], **settings)


def test_results_come_in_the_order_of_the_calls_though_they_run_together():
    order: list[int] = []

    @tool
    async def wait(number: int) -> int:
        """Wait, the first longest."""
        await asyncio.sleep(0.05 * (3 - number))
        order.append(number)
        return number

    results = run(Toolbox([wait]), *(call("wait", number=n) for n in range(3)))
    assert [result.text for result in results] == ["0", "1", "2"]
    assert order == [2, 1, 0]
    assert all(result.ok and result.seconds > 0 for result in results)


@pytest.mark.parametrize(
    ("wrong", "kind", "text"),
    [
        (call("substract"), "unknown_tool", "there are: add, odd"),
        (call("add", a="1"), "arguments", "argument 'a'"),
        (call("add", b=1), "arguments", "It takes: a, b (optional)"),
        (call("add", a=1, c=2), "arguments", "'c' was unexpected"),
        (call("odd", how="x"), "arguments", "is not one of"),
        (call("odd", how="raise"), "failed", "The tool odd failed."),
        (call("odd", how="tell"), "failed", "The page is not there."),
        (call("odd", how="sleep"), "timeout", "within 0.2 s"),
        (BadCall("no JSON"), "malformed", "could not be read: no JSON"),
    ],
)
def test_whatever_goes_wrong_is_told_to_the_model(wrong: Any, kind: str, text: str):
    bad, good = run(box(), wrong, call("add", a=1))
    assert bad.error == kind and text in bad.text
    assert "secret" not in bad.text
    assert good.ok and good.text == "2"


def test_nothing_is_said_to_be_nothing_and_long_results_are_cut_visibly():
    nothing, long = run(box(max_characters=30), call("odd", how="nothing"), call("odd", how="tags"))
    assert nothing.text == "The tool odd returned nothing." and nothing.ok
    assert len(long.text) == 30 + len(CUT) and long.text.endswith(CUT)


def test_a_result_cannot_speak_for_the_model():
    (result,) = run(box(tags=["<search>", "</search>"]), call("odd", how="tags"))
    assert "<search>" not in result.text and "search>x<" in result.text.replace("\u200b", "")


def test_budgets_of_a_turn_and_of_an_episode():
    limited = box(max_calls=3, max_parallel_calls=2)
    calls = [call("add", a=n) for n in range(3)]
    assert [r.error for r in run(limited, *calls)] == [None, None, ToolErrorKind.BUDGET]
    assert limited.calls_left == 1
    assert [r.error for r in run(limited, *calls[:2])] == [None, ToolErrorKind.BUDGET]
    assert limited.calls_left == 0
    (refused,) = run(limited, calls[0])
    assert "All 3 tool calls have been made" in refused.text


def test_what_was_called_is_counted_by_tool():
    counted = box()
    run(counted, call("add", a=1), call("odd", how="tell"), call("none"), BadCall("x"))
    assert counted.counts["add"].calls == 1 and not counted.counts["add"].errors
    assert counted.counts["odd"].errors == {"failed": 1}
    assert counted.counts[""].errors == {"unknown_tool": 1, "malformed": 1}


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="'add'"):
        Toolbox([add, add])


class TestFunctionTool:
    def test_the_schema_is_that_of_the_signature(self):
        assert isinstance(add, Tool)
        assert (add.name, add.description) == ("add", "Add two numbers.")
        assert add.parameters == {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "the first."},
                "b": {
                    "type": "integer",
                    "description": "the second, on two lines.",
                    "default": 1,
                },
            },
            "required": ["a"],
            "additionalProperties": False,
        }

    def test_every_kind_of_type(self):
        @tool
        def kinds(
            a: Annotated[str, "a note"],
            b: list[float],
            c: dict[str, int] | None = None,
            d: bool = False,
            e: Mapping[str, str] | None = None,
        ) -> str:
            """Take much."""
            return repr((a, b, c, d, e))

        properties = kinds.parameters["properties"]
        assert properties["a"] == {"type": "string", "description": "a note"}
        assert properties["b"] == {"type": "array", "items": {"type": "number"}}
        assert properties["c"] == {"anyOf": [{"type": "object"}, {"type": "null"}]}
        (result,) = run(Toolbox([kinds]), call("kinds", a="x", b=[1.5], c=None))
        assert result.text == "('x', [1.5], None, False, None)"

    def test_the_context_is_given_by_the_framework(self):
        @tool
        def who(name: str, context: ToolContext) -> str:
            """Say whose episode it is."""
            return f"{name} {context.episode}"

        assert list(who.parameters["properties"]) == ["name"]
        assert run(Toolbox([who]), call("who", name="a"))[0].text == "a 1"
        assert not run(Toolbox([who]), call("who", name="a", context={}))[0].ok

    def test_what_a_model_could_not_use_is_refused(self):
        def silent(a: int) -> str:
            return ""

        def vague(a) -> str:
            """Take anything."""
            return ""

        def many(*a: int) -> str:
            """Take many."""
            return ""

        for function, problem in ((silent, "docstring"), (vague, "annotate"), (many, r"\*a")):
            with pytest.raises(ConfigError, match=problem):
                tool(function)


def test_metrics_name_each_tool_and_what_named_none():
    counted = box()
    run(counted, call("add", a=1), call("add", a=2), call("odd", how="tell"), BadCall("x"))
    found = counted.metrics()
    assert found["tools/add/calls"] == 2 and found["tools/add/failed"] == 0
    assert found["tools/odd/failed"] == 1 and found["tools/unread/failed"] == 1
    assert found["tools/add/characters"] == 2
