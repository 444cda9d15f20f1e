"""Agents without a model: the expert, random actions, the first action."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentrl.envs.base import Info
from agentrl.errors import ConfigError, unknown_name

EMPTY: Mapping[str, Any] = {}


class Agent(Protocol):
    """Chooses actions by looking at `info`."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def reset_options(self) -> Mapping[str, Any]:
        """Reset options it needs besides the task's own; they do not change the panel's hash."""

    def act(self, info: Info, rng: random.Random) -> str | None:
        """Return the next action; None gives up.

        Raises:
            ConfigError: the environment's `info` does not have what the agent needs.
        """


@dataclass(frozen=True, slots=True)
class ExpertAgent:
    """Does what the environment's expert says, `info["expert_action"]`."""

    name: str = "expert"

    @property
    def reset_options(self) -> Mapping[str, Any]:
        """Ask for the expert."""
        return {"expert": True}

    def act(self, info: Info, rng: random.Random) -> str | None:
        """Return the expert's action; None where it knows none."""
        if "expert_action" not in info:
            raise ConfigError(
                'The environment gives no info["expert_action"] with the reset option `expert`, '
                "so `agentrl eval expert` cannot play it."
            )
        action = info["expert_action"]
        return action if isinstance(action, str) else None


@dataclass(frozen=True, slots=True)
class RandomAgent:
    """Draws uniformly among the admissible actions."""

    name: str = "random"

    @property
    def reset_options(self) -> Mapping[str, Any]:
        """Nothing more than the task."""
        return EMPTY

    def act(self, info: Info, rng: random.Random) -> str | None:
        """Return an admissible action; None where there is none."""
        choices = _admissible(info, self.name)
        return rng.choice(choices) if choices else None


@dataclass(frozen=True, slots=True)
class FirstAgent:
    """Takes the first admissible action, always: the floor that says what doing nothing scores."""

    name: str = "first"

    @property
    def reset_options(self) -> Mapping[str, Any]:
        """Nothing more than the task."""
        return EMPTY

    def act(self, info: Info, rng: random.Random) -> str | None:
        """Return the first admissible action; None where there is none."""
        choices = _admissible(info, self.name)
        return choices[0] if choices else None


AGENTS: Mapping[str, type[ExpertAgent] | type[RandomAgent] | type[FirstAgent]] = {
    "expert": ExpertAgent,
    "random": RandomAgent,
    "first": FirstAgent,
}


def agent_of(name: str) -> Agent:
    """Return the agent of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in AGENTS:
        raise unknown_name("agent", name, AGENTS)
    return AGENTS[name]()


def _admissible(info: Info, name: str) -> Sequence[str]:
    choices: Sequence[str] | None = info.get("admissible_actions")
    if choices is None:
        raise ConfigError(
            'The environment lists no info["admissible_actions"], so '
            f"`agentrl eval {name}` cannot play it; an option of the panel may switch them on."
        )
    return choices
