"""Prompt profiles that any text environment can use, named and versioned."""

from agentrl.envs.prompts.chat import ChatProfile
from agentrl.envs.prompts.plain import PlainPrompt
from agentrl.envs.prompts.projection import LENIENT, STRICT, Projection
from agentrl.envs.prompts.sets import (
    choose,
    is_step_prompt,
    profiles,
    prompt_id,
    verl_agent_profile,
    written_answer,
)
from agentrl.envs.prompts.showing import (
    ADMISSIBLE,
    Admissible,
    ListActions,
    SearchAndClicks,
    Show,
    as_it_is,
    pieces_after_goal,
    quoted,
    templates_and_objects,
)
from agentrl.envs.prompts.step import StepProfile

__all__ = [
    "ADMISSIBLE",
    "LENIENT",
    "STRICT",
    "Admissible",
    "ChatProfile",
    "ListActions",
    "PlainPrompt",
    "Projection",
    "SearchAndClicks",
    "Show",
    "StepProfile",
    "as_it_is",
    "choose",
    "is_step_prompt",
    "pieces_after_goal",
    "profiles",
    "prompt_id",
    "quoted",
    "templates_and_objects",
    "verl_agent_profile",
    "written_answer",
]
