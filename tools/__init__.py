"""Tools that an agent can call: search, browse, python, and functions of one's own."""

from agentrl.tools.base import (
    Tool,
    ToolCall,
    ToolContext,
    ToolError,
    ToolErrorKind,
    ToolResult,
    schema_of,
)
from agentrl.tools.function import FunctionTool, tool

__all__ = [
    "FunctionTool",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolErrorKind",
    "ToolResult",
    "schema_of",
    "tool",
]
