"""Environments, registered with gymnasium under `agentrl/Name-vN`."""

from agentrl.envs.base import (
    INFO_KEYS,
    Info,
    ParsedAction,
    PastStep,
    Placement,
    Prompt,
    StepPrompt,
    TextEnv,
    TextSpace,
    episode_metrics,
)
from agentrl.envs.registry import env_class, listing, make, register

__all__ = [
    "INFO_KEYS",
    "Info",
    "ParsedAction",
    "PastStep",
    "Placement",
    "Prompt",
    "StepPrompt",
    "TextEnv",
    "TextSpace",
    "env_class",
    "episode_metrics",
    "listing",
    "make",
    "register",
]

register(
    "agentrl/TextWorld-v0",
    "agentrl.envs.textworld:TextWorldEnv",
    description="TextWorld games from TextWorld's own generator, or any game file.",
)
register(
    "agentrl/ALFWorld-v0",
    "agentrl.envs.alfworld:ALFWorldEnv",
    description="ALFWorld household tasks as text, on the published games (extra `alfworld`).",
)
register(
    "agentrl/ScienceWorld-v0",
    "agentrl.envs.scienceworld:ScienceWorldEnv",
    description="ScienceWorld: 30 elementary science tasks (extra `scienceworld`).",
)
register(
    "agentrl/WebShop-v0",
    "agentrl.envs.webshop:WebShopEnv",
    description="WebShop: find and buy the product an instruction asks for.",
)
register(
    "agentrl/SearchQA-v0",
    "agentrl.envs.tooluse:SearchQAEnv",
    description="Questions answered by searching, in Search-R1's form; generated ones built in.",
)
register(
    "agentrl/DeepSearch-v0",
    "agentrl.envs.tooluse:DeepSearchEnv",
    description="Questions that need several pages: search, browse and, if wanted, python.",
)
register(
    "agentrl/Math-v0",
    "agentrl.envs.maths:MathEnv",
    description="Problems of mathematics in one turn; generated arithmetic built in.",
)
register(
    "agentrl/ToolMath-v0",
    "agentrl.envs.tooluse:ToolMathEnv",
    description="Problems of mathematics answered with programs, run in a sandbox.",
)
