"""How WebShop is shown to a model."""

from __future__ import annotations

from dataclasses import replace

from agentrl.envs.base import Info, Prompt
from agentrl.envs.prompts import (
    PlainPrompt,
    SearchAndClicks,
    pieces_after_goal,
    profiles,
    verl_agent_profile,
)

_SEPARATOR = " [SEP] "
_BLURB = "an online shop, where you look for a product that fits the goal and buy it"
_GUIDE = (
    "On the page with the search bar you can search for words; elsewhere you click what the page "
    "offers. Choose the options that the goal asks for before you buy."
)


def bare_page(observation: str, info: Info) -> str:
    """Return a page of mode `text` without heading and instruction, its pieces parted by ` | `."""
    found = observation.split(_SEPARATOR)
    task = str(info["task"])
    if task in found:
        found = found[found.index(task) + 1 :]
    return " | ".join(found)


_PLAIN = PlainPrompt(show=bare_page, only_admissible=False)

PROMPTS: dict[str, Prompt] = {
    **profiles(
        blurb=_BLURB,
        guide=_GUIDE,
        show=pieces_after_goal,
        actions=SearchAndClicks(),
        max_characters=13000,
        tail=20,
        only_admissible=False,
        verl_agent=verl_agent_profile(
            blurb=_BLURB,
            show=pieces_after_goal,
            actions=SearchAndClicks(comma=True),
            max_characters=13000,
            tail=20,
            lower=True,
        ),
    ),
    "plain": _PLAIN,
    "plain-actions": replace(_PLAIN, show_actions=True),
}
"""The prompt variants by name."""
