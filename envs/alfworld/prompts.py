"""How ALFWorld is shown to a model."""

from __future__ import annotations

from collections.abc import Mapping

from agentrl.envs.base import Prompt
from agentrl.envs.prompts import Admissible, profiles, verl_agent_profile

BLURB = "a household, where you go to places, open them and move things"

_ACTIONS = Admissible(hidden=("help",))

PROMPTS: Mapping[str, Prompt] = profiles(
    blurb=BLURB,
    actions=_ACTIONS,
    goal_in_first=True,
    tail=30,
    verl_agent=verl_agent_profile(
        blurb=BLURB,
        tail=30,
        lower=True,
        actions=Admissible(hidden=("help",), joiner="\n "),
        goal_in_first=True,
    ),
)
"""The prompt variants by name; the first observation holds the goal."""
