"""Environments in which questions are answered with tools."""

from agentrl.envs.tooluse.deep_search import DeepSearchEnv
from agentrl.envs.tooluse.env import ToolEnv
from agentrl.envs.tooluse.prompt import ToolPrompt, tool_prompts
from agentrl.envs.tooluse.search_qa import SearchQAEnv

__all__ = ["DeepSearchEnv", "SearchQAEnv", "ToolEnv", "ToolPrompt", "tool_prompts"]
