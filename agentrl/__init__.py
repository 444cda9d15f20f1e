"""AgentRL: train LLM agents by reinforcement learning over many turns."""

import os

# MKL's matrix products depend on where in memory their operands lie, unless it is told otherwise
# before its first call; then a resumed run would not repeat the interrupted one bit for bit.
os.environ.setdefault("MKL_CBWR", "AVX2")

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
