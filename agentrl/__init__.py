"""AgentRL: train LLM agents by reinforcement learning over many turns."""

from agentrl._version import __version__
from agentrl.tree import Episode, Forest, Node, StopReason, Tree, Writer
from agentrl.types import Task, TaskPanel

__all__ = [
    "Episode",
    "Forest",
    "Node",
    "StopReason",
    "Task",
    "TaskPanel",
    "Tree",
    "Writer",
    "__version__",
]
