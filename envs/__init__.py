"""Environments, registered with gymnasium under `agentrl/Name-vN`."""

from agentrl.envs.base import (
    INFO_KEYS,
    Info,
    ParsedAction,
    Prompt,
    TextEnv,
    TextSpace,
    episode_metrics,
)
from agentrl.envs.registry import env_class, listing, make, register

__all__ = [
    "INFO_KEYS",
    "Info",
    "ParsedAction",
    "Prompt",
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
