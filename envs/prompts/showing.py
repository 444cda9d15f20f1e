"""How observations and actions are written into prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentrl.envs.base import Info

Show = Callable[[str, Info], str]
"""Turns an observation, given its task's `info`, into what the model reads."""

ListActions = Callable[[Info], str]
"""Writes down what can be done; empty where nothing is to be listed."""

SEPARATOR = " [SEP] "
"""Between the pieces of a WebShop page."""


def as_it_is(observation: str, info: Info) -> str:
    """Return the observation unchanged."""
    return observation


def pieces_after_goal(observation: str, info: Info) -> str:
    """Return a WebShop page without its instruction: the pieces behind it, each in quotes.

    A page that does not hold `info["task"]` as a piece is returned unchanged (the rule of
    langfengQ/verl-agent:agent_system/environments/env_manager.py).
    """
    pieces = observation.split(SEPARATOR)
    if info["task"] not in pieces:
        return observation
    return quoted(pieces[pieces.index(info["task"]) + 1 :], SEPARATOR)


def quoted(actions: Iterable[str], joiner: str = "\n", comma: bool = False) -> str:
    """Return each action in single quotes, with a comma behind it if asked for."""
    return joiner.join(f"'{action}'{',' if comma else ''}" for action in actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admissible:
    """Lists `info["admissible_actions"]`, each in quotes.

    Attributes:
        hidden: actions that are left out, such as ALFWorld's `help`.
        joiner: between two actions.
    """

    hidden: tuple[str, ...] = ()
    joiner: str = "\n"

    def __call__(self, info: Info) -> str:
        """Return the list."""
        actions = info.get("admissible_actions") or ()
        return quoted((action for action in actions if action not in self.hidden), self.joiner)


ADMISSIBLE = Admissible()
"""All admissible actions, one a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAndClicks:
    """Lists what a WebShop page offers: a search, then everything that can be clicked.

    Reads `info["has_search_bar"]` (bool) and `info["clickables"]` (in page order).

    Attributes:
        query: what stands for the words of a search.
        hidden: clickables that are left out; the search button does nothing when clicked.
        comma: each line ends with a comma, as in verl-agent.
    """

    query: str = "<your query>"
    hidden: tuple[str, ...] = ("search",)
    comma: bool = False

    def __call__(self, info: Info) -> str:
        """Return the list."""
        searches = [f"search[{self.query}]"] if info.get("has_search_bar") else []
        clicks = (c for c in info.get("clickables") or () if c not in self.hidden)
        return quoted([*searches, *(f"click[{c}]" for c in clicks)], comma=self.comma)


def templates_and_objects(info: Info) -> str:
    """List ScienceWorld's actions: templates with OBJ, then what OBJ can be.

    Reads `info["action_templates"]` and `info["objects"]`, both lists of str.
    """
    templates, objects = info.get("action_templates") or (), info.get("objects") or ()
    if not templates:
        return ""
    return f"{quoted(templates)}\nOBJ can be: {', '.join(objects)}"
