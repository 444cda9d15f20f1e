"""Environments in which questions are answered with tools."""

from agentrl.envs.tooluse.deep_search import DeepSearchEnv
from agentrl.envs.tooluse.env import ToolEnv
from agentrl.envs.tooluse.prompt import ToolPrompt, tool_prompts
from agentrl.envs.tooluse.search_qa import SearchQAEnv
from agentrl.envs.tooluse.tool_math import ToolMathEnv

__all__ = [
    "DeepSearchEnv",
    "SearchQAEnv",
    "ToolEnv",
    "ToolMathEnv",
    "ToolPrompt",
    "tool_prompts",
]
