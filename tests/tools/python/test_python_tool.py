"""The tool `python`."""

from __future__ import annotations

import asyncio
import json

import jsonschema
import pytest

from agentrl.errors import ConfigError
from agentrl.tools.base import Tool, ToolContext, ToolError, ToolErrorKind, schema_of
from agentrl.tools.python import Limits, PythonTool, SandboxFailed
from agentrl.tools.python import tool as tool_module

FIRST, SECOND = ToolContext(episode="first"), ToolContext(episode="second")


def run(tool, *calls):
    """Make calls one after the other and close the tool."""

    async def work():
        try:
            return [await tool.call({"code": code}, context) for code, context in calls]
        finally:
            await tool.close()

    return asyncio.run(work())


def test_it_is_a_tool_whose_schema_is_valid(installed):
    tool = PythonTool()
    assert isinstance(tool, Tool)
    jsonschema.Draft202012Validator.check_schema(tool.parameters)
    assert json.loads(json.dumps(schema_of(tool)))["function"]["name"] == "python"
    assert tool.timeout > Limits().wall
    run(tool)


def test_an_exception_is_a_result_and_a_timeout_an_error(installed, leftovers, limits):
    tool = PythonTool(limits=Limits(wall=0.5))
    fine, raised, late = run(
        tool, ("print(1)", FIRST), ("1 / 0", FIRST), ("while True: pass", FIRST)
    )
    assert (fine.text, fine.error, fine.metadata) == ("1", None, {"status": "done"})
    assert raised.ok
    assert raised.metadata == {"status": "raised"}
    assert raised.text.endswith("ZeroDivisionError: division by zero")
    assert late.error is ToolErrorKind.TIMEOUT
    assert late.text == "The code was stopped after 0.5 seconds."
    assert leftovers() == []


def test_variables_stay_within_an_episode_only(installed):
    tool = PythonTool(persistent=True, sessions=2, print_last=True)
    results = run(tool, ("x = 1", FIRST), ("'x' in globals()", SECOND), ("x", FIRST))
    assert [result.text for result in results[1:]] == ["False", "1"]


def test_an_episode_that_had_to_make_room_gets_its_variables_back(installed):
    tool = PythonTool(persistent=True)
    calls = [("x = 1", FIRST), ("x += 1\nprint(x)", FIRST), ("y = 1", SECOND), ("print(x)", FIRST)]
    results = run(tool, *calls, ("print(y)", SECOND))
    assert [result.text for result in results[1::2]] == ["2", "2"]
    assert results[-1].text == "1"


def test_calls_of_one_turn_run_in_their_order(installed):
    tool = PythonTool(persistent=True)

    async def work():
        calls = ["x = []", *(f"x.append({n})" for n in range(5)), "print(x)"]
        try:
            return await asyncio.gather(*(tool.call({"code": code}, FIRST) for code in calls))
        finally:
            await tool.close()

    assert asyncio.run(work())[-1].text == "[0, 1, 2, 3, 4]"


def test_a_branch_has_the_variables_of_its_source_and_its_own_from_then_on(installed):
    tool = PythonTool(persistent=True, sessions=2)

    async def work():
        try:
            await tool.call({"code": "x = [1]"}, FIRST)
            tool.fork("first", "second")
            await tool.call({"code": "x.append(2)"}, FIRST)
            return [await tool.call({"code": "print(x)"}, each) for each in (SECOND, FIRST)]
        finally:
            await tool.close()

    assert [result.text for result in asyncio.run(work())] == ["[1]", "[1, 2]"]


def test_a_replaced_interpreter_is_announced(installed):
    tool = PythonTool(persistent=True, limits=Limits(wall=0.5))
    _, killed, after = run(tool, ("x = 1", FIRST), ("while True: pass", FIRST), ("print(x)", FIRST))
    assert killed.text.endswith("everything earlier code had defined is gone.")
    assert after.text.endswith("NameError: name 'x' is not defined")


@pytest.mark.parametrize("persistent", [False, True])
def test_the_file_of_a_task_can_be_read_and_not_changed(installed, tmp_path, persistent):
    path = tmp_path / "table.csv"
    path.write_text("a,b")
    path.chmod(0o600)
    context = ToolContext(options={"file": str(path)})
    look = f"print(open({str(path)!r}).read())"
    change = f"open({str(path)!r}, 'w').write('c')"
    others = f"import os; print(os.listdir({str(tmp_path.parent)!r}))"
    tool = PythonTool(persistent=persistent)
    read, changed, listed = run(tool, *((code, context) for code in (look, change, others)))
    assert read.text == "a,b"
    assert "OSError" in changed.text or "PermissionError" in changed.text
    assert listed.text == f"[{tmp_path.name!r}]"
    assert path.read_text() == "a,b"


def test_calls_run_beside_each_other(installed):
    tool = PythonTool()

    async def work():
        calls = [tool.call({"code": f"print({n})"}, FIRST) for n in range(8)]
        try:
            return await asyncio.gather(*calls)
        finally:
            await tool.close()

    assert [result.text for result in asyncio.run(work())] == [str(n) for n in range(8)]


def test_it_needs_a_slot_and_a_session():
    for name in ("slots", "sessions"):
        with pytest.raises(ConfigError, match=f"`{name}` is 0"):
            PythonTool(**{name: 0})


def test_a_sandbox_that_fails_is_not_the_fault_of_the_model(installed, monkeypatch):
    tool = PythonTool()

    def fail(code, **_):
        raise SandboxFailed("no memory")

    monkeypatch.setattr(tool._sandbox, "run", fail)
    with pytest.raises(ToolError, match="not available") as caught:
        run(tool, ("1", FIRST))
    assert caught.value.kind is ToolErrorKind.UNAVAILABLE
    assert str(caught.value) == tool_module.UNAVAILABLE
