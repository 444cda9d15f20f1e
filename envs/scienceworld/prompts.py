"""How ScienceWorld is shown to a model."""

from __future__ import annotations

from collections.abc import Mapping

from agentrl.envs.base import Info, Prompt
from agentrl.envs.prompts import (
    profiles,
    quoted,
    templates_and_objects,
    verl_agent_profile,
)

BLURB = "ScienceWorld, a house and garden described in text, to carry out a scientific task"

GUIDE = (
    "An action is one of the templates below, with every OBJ replaced by an object. `focus on OBJ` "
    "says which object the task is about and is part of the task: focusing on a wrong object fails "
    "it. `wait` lets ten steps of time pass, `wait1` one. `task` repeats the goal."
)


def possible_actions(info: Info) -> str:
    """Return templates and objects, or the numbers that answer an ambiguous request."""
    if info.get("ambiguous"):
        return quoted(info["admissible_actions"])
    return templates_and_objects(info)


PROMPTS: Mapping[str, Prompt] = profiles(
    blurb=BLURB,
    actions=possible_actions,
    guide=GUIDE,
    all_actions=True,
    tail=20,
    only_admissible=False,
    verl_agent=verl_agent_profile(
        blurb=BLURB,
        tail=20,
        lower=False,
        actions=possible_actions,
        guide=GUIDE,
        all_actions=True,
    ),
)
"""The prompt variants by name; `plain` goes well with `observation="short"`."""
