"""Python for agents: code the model wrote, run in a sandbox that has been tested to hold."""

from agentrl.tools.python.interpreter import SandboxFailed
from agentrl.tools.python.limits import Limits
from agentrl.tools.python.outcome import Outcome, Status
from agentrl.tools.python.profile import Level
from agentrl.tools.python.sandbox import Sandbox, Session
from agentrl.tools.python.slots import SandboxBusy
from agentrl.tools.python.tool import PythonTool

__all__ = [
    "Level",
    "Limits",
    "Outcome",
    "PythonTool",
    "Sandbox",
    "SandboxBusy",
    "SandboxFailed",
    "Session",
    "Status",
]
