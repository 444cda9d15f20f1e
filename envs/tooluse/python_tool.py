"""The tool `python` of an environment: its schema for prompts, and the tool itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.envs.options import check_choice
from agentrl.tools.python import Level, PythonTool, Sandbox

PYTHON_SCHEMA: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "python",
        "description": "runs a program and shows what it prints; nothing is kept from call to call",
        "parameters": PythonTool.parameters,
    },
}
"""As prompts show it; to make the tool itself is to test its sandbox, for which no prompt waits."""


def python_tool(level: str) -> PythonTool:
    """Return the tool; a bare expression at the end is printed, as ARPO does.

    Raises:
        ConfigError: the sandbox of that level does not hold on this machine.
    """
    return PythonTool(level=level, print_last=True)


def check_level(environment: str, level: str) -> None:
    """Raise `UnknownNameError` unless there is such a level of the sandbox."""
    check_choice(environment, "level", level, [str(known) for known in Level])


def prepare_sandbox(level: str) -> None:
    """Test the sandbox before any episode runs; what is found is noted for worker processes.

    Raises:
        ConfigError: it does not hold on this machine.
    """
    Sandbox(level)
