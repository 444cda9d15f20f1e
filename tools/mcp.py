"""Tools of MCP servers, through the protocol's official client (extra `mcp`).

tools = await mcp_tools(["python", "my_server.py"])     # a command, spoken to over pipes
tools = await mcp_tools("http://localhost:8000/mcp")     # or a server that runs already
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from agentrl.envs.extras import require
from agentrl.errors import ConfigError, MissingExtraError
from agentrl.tools.base import JSON, ToolContext, ToolError, ToolErrorKind, ToolResult

CONNECT_SECONDS = 30.0
CLOSE_SECONDS = 5.0
_UNAVAILABLE = "The server of this tool does not answer."


class MCPConnection:
    """A connection to one server, opened and closed in a task of its own.

    Args:
        server: an address, or a command and its arguments.
        timeout: seconds that a call may take.
    """

    def __init__(self, server: str | Sequence[str], timeout: float) -> None:
        self.server, self.timeout = server, timeout
        self._opened: asyncio.Future[Any] | None = None
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def client(self) -> Any:
        """Return the client; the first call connects.

        Raises:
            ConfigError: there is no such server, or it does not answer in time.
            MissingExtraError: the extra `mcp` is not installed.
        """
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(self._opened))
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Close the connection, and end a server that was started for it."""
        self._closing.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, CLOSE_SECONDS)

    async def _live(self, opened: asyncio.Future[Any]) -> None:
        """Hold the connection; the client must be closed by the task that has opened it."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS) as waiting:
                async with _client(self.server, self.timeout) as client:
                    waiting.reschedule(None)
                    opened.set_result(client)
                    await self._closing.wait()
        except Exception as error:
            if opened.done():
                return
            known = isinstance(error, ConfigError | MissingExtraError)
            text = f"The MCP server {self.server!r} cannot be reached: {_reason(error)}."
            opened.set_exception(error if known else ConfigError(text))


class MCPTool:
    """A tool of an MCP server.

    Args:
        connection: shared by the tools of a server; the first that is closed closes it.
        described: as the server describes the tool.
    """

    def __init__(self, connection: MCPConnection, described: Any) -> None:
        self._connection = connection
        self.name: str = described.name
        self.description: str = described.description or described.name
        self.parameters: Mapping[str, JSON] = dict(described.input_schema)
        self.timeout = connection.timeout

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Call the tool; pictures and sounds of its result are only named.

        Raises:
            ToolError: the tool reports an error, or its server has gone.
        """
        try:
            client = await self._connection.client()
            found = await client.call_tool(self.name, dict(arguments))
        except (ConfigError, ConnectionError, OSError, RuntimeError) as error:
            raise ToolError(_UNAVAILABLE, ToolErrorKind.UNAVAILABLE) from error
        except Exception as error:
            if type(error).__name__ != "MCPError":
                raise
            raise ToolError(str(error) or "The tool failed.") from error
        text = "\n".join(_text(block) for block in found.content)
        if found.is_error:
            raise ToolError(text or "The tool failed.")
        return ToolResult(text=text)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


async def mcp_tools(
    server: str | Sequence[str], *, names: Sequence[str] | None = None, timeout: float = 30.0
) -> list[MCPTool]:
    """Connect to a server and return its tools.

    Args:
        server: an address, or a command and its arguments.
        names: those wanted; None takes all.
        timeout: seconds that a call may take.

    Raises:
        ConfigError: the server cannot be reached, or has no tool of a wanted name.
        MissingExtraError: the extra `mcp` is not installed.
    """
    connection = MCPConnection(server, timeout)
    client = await connection.client()
    described: list[Any] = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        described += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    found = {tool.name: MCPTool(connection, tool) for tool in described}
    missing = [name for name in names or () if name not in found]
    if missing:
        await connection.close()
        raise ConfigError(
            f"The MCP server {server!r} has no tool {missing[0]!r}; it has {', '.join(found)}."
        )
    return [found[name] for name in names or found]


def _client(server: str | Sequence[str], timeout: float) -> Any:
    mcp = require("mcp", extra="mcp", needed_for="A tool of an MCP server")
    if isinstance(server, str):
        return mcp.Client(server, read_timeout_seconds=timeout)
    command, *arguments = server
    process = mcp.StdioServerParameters(command=command, args=arguments)
    return mcp.Client(process, read_timeout_seconds=timeout)


def _text(block: Any) -> str:
    return str(block.text) if block.type == "text" else f"[{block.type}]"


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
