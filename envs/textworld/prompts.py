"""How TextWorld is shown to a model."""

from __future__ import annotations

from dataclasses import dataclass

from agentrl.envs.base import Prompt
from agentrl.envs.prompts import ChatProfile, PlainPrompt, profiles

BLURB = "a text adventure game"

CompactPrompt = PlainPrompt
"""The profile `plain`, by its older name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt(ChatProfile):
    """The profile `chat` for text adventures."""

    blurb: str = BLURB


PROMPTS: dict[str, Prompt] = {"compact": CompactPrompt(), **profiles(blurb=BLURB)}
"""The prompts by name; `compact` is an older name of `plain`."""
