"""Profile `plain`: the fewest tokens, for small models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agentrl.envs.base import Info, ParsedAction
from agentrl.envs.prompts.showing import Show, as_it_is


@dataclass(frozen=True, slots=True)
class PlainPrompt:
    """The goal, then bare observations; the model answers with a bare action.

    Attributes:
        show_goal: the goal sentence is the system message.
        show_actions: each observation is followed by the admissible actions.
        stop_strings: a newline ends the model's turn.
        show: how observations are written.
        only_admissible: an action that `info["admissible_actions"]` does not have is invalid; it
            is sent all the same.  False where that list cannot name every action.
        revision: raised by an environment whenever its own part of the text changes.
    """

    wording: ClassVar[int] = 1

    show_goal: bool = True
    show_actions: bool = False
    stop_strings: tuple[str, ...] = ("\n",)
    show: Show = as_it_is
    only_admissible: bool = True
    revision: int = 0

    @property
    def version(self) -> int:
        """Version of the text: it rises with every change of wording."""
        return self.wording + self.revision

    def system(self, info: Info) -> str | None:
        """Return the goal sentence."""
        return str(info["task"]) if self.show_goal else None

    def observe(self, observation: str, info: Info) -> str:
        """Return the observation, with the admissible actions if asked for."""
        shown = self.show(observation, info)
        actions = info.get("admissible_actions")
        if not self.show_actions or not actions:
            return shown
        return f"{shown}\nActions: {', '.join(actions)}"

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Read the first non-empty line as the action."""
        lines = text.strip().splitlines()
        action = lines[0].strip() if lines else ""
        admissible = info.get("admissible_actions")
        if not action:
            return ParsedAction(action, False, "empty action")
        if self.only_admissible and admissible is not None and action not in admissible:
            return ParsedAction(action, False, "not an admissible action")
        return ParsedAction(action)

    def answer(self, action: str) -> str:
        """Return the text of a model turn that takes `action`: the action itself."""
        return action
