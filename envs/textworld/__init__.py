"""TextWorld: text adventure games made by its own generator, or any game file."""

from agentrl.envs.textworld.cache import cache_directory
from agentrl.envs.textworld.env import TextWorldEnv
from agentrl.envs.textworld.expert import expert_actions
from agentrl.envs.textworld.games import KINDS
from agentrl.envs.textworld.options import Options
from agentrl.envs.textworld.panels import prepare_panel, textworld_panel
from agentrl.envs.textworld.prompts import PROMPTS, ChatPrompt, CompactPrompt

__all__ = [
    "KINDS",
    "PROMPTS",
    "ChatPrompt",
    "CompactPrompt",
    "Options",
    "TextWorldEnv",
    "cache_directory",
    "expert_actions",
    "prepare_panel",
    "textworld_panel",
]
