"""Tools of a real MCP server, started for the test."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from agentrl.errors import ConfigError
from agentrl.tools import Tool, ToolCall, ToolContext, ToolErrorKind
from agentrl.tools.mcp import mcp_tools
from agentrl.tools.toolbox import Toolbox

pytest.importorskip("mcp", reason="needs the extra `mcp`")

SERVER = '''
import os
from mcp.server import MCPServer

server = MCPServer("numbers")

@server.tool()
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b

@server.tool()
def refuse() -> str:
    """Do nothing."""
    raise ValueError("not today")

@server.tool()
def leave() -> str:
    """End the server."""
    os._exit(1)

server.run("stdio")
'''


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "server.py").write_text(SERVER)
    return [sys.executable, str(tmp_path / "server.py")]


def call(name: str, /, **arguments: object) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


def test_they_are_called_like_any_tool(command: list[str]):
    async def main() -> None:
        tools = await mcp_tools(command, timeout=10.0)
        assert all(isinstance(tool, Tool) for tool in tools)
        box = Toolbox(tools)
        assert sorted(box.tools) == ["add", "leave", "refuse"]
        assert box.tools["add"].description == "Add two numbers."
        calls = [call("add", a=2), call("add", a="x"), call("refuse")]
        good, wrong, refused = await box.run(calls, ToolContext())
        assert good.ok and good.text == "3"
        assert wrong.error == ToolErrorKind.ARGUMENTS
        assert refused.error == ToolErrorKind.FAILED and "refuse" in refused.text
        await box.close()

    asyncio.run(main())


def test_a_server_that_has_gone_is_out_of_service_and_holds_nothing_up(command: list[str]):
    async def main() -> None:
        box = Toolbox(await mcp_tools(command, timeout=5.0))
        async with asyncio.timeout(20):
            (gone,) = await box.run([call("leave")], ToolContext())
            assert not gone.ok
            (after,) = await box.run([call("add", a=1)], ToolContext())
            assert not after.ok
            await box.close()

    asyncio.run(main())


def test_only_wanted_tools_are_taken_and_a_missing_one_is_named(command: list[str]):
    async def main() -> None:
        (tool,) = await mcp_tools(command, names=["add"])
        await tool.close()
        with pytest.raises(ConfigError, match="no tool 'subtract'; it has add"):
            await mcp_tools(command, names=["subtract"])

    asyncio.run(main())


def test_a_server_that_cannot_be_reached_is_named():
    async def main() -> None:
        with pytest.raises(ConfigError, match=r"no-such-command.*cannot be reached"):
            await mcp_tools(["no-such-command"])

    asyncio.run(main())
