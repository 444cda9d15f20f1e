"""Profile `chat`: one conversation; instructions are the system message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agentrl.envs.base import Info, ParsedAction
from agentrl.envs.prompts.projection import LENIENT, Projection
from agentrl.envs.prompts.showing import ADMISSIBLE, ListActions, Show, as_it_is
from agentrl.envs.prompts.step import ANSWER_FORM, tagged_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatProfile:
    """A growing conversation in the manner of AgentGym (WooooDyy/AgentGym), with tags.

    Attributes:
        blurb: where the agent acts, to complete "You control an agent in ...".
        guide: more text for the system message, such as what the actions mean.
        show: how observations are written.
        actions: how the possible actions are written.
        projection: how the action is read.
        stop_strings: what ends a model turn.
        revision: raised by an environment whenever its own part of the text changes.
    """

    wording: ClassVar[int] = 1

    blurb: str
    guide: str = ""
    show: Show = as_it_is
    actions: ListActions = ADMISSIBLE
    projection: Projection = LENIENT
    stop_strings: tuple[str, ...] = ("</action>",)
    revision: int = 0

    @property
    def version(self) -> int:
        """Version of the text: it rises with every change of wording."""
        return self.wording + self.revision

    def system(self, info: Info) -> str | None:
        """Return role, goal and form of the answer."""
        parts = [f"You control an agent in {self.blurb}.", f"Goal: {info['task']}"]
        if self.guide:
            parts.append(self.guide)
        return "\n".join([*parts, ANSWER_FORM])

    def observe(self, observation: str, info: Info) -> str:
        """Return the observation and the possible actions."""
        step = int(info.get("step", 0)) + 1
        shown = f"Step {step}. You now observe:\n{self.show(observation, info)}"
        actions = self.actions(info)
        return f"{shown}\nActions you can take now:\n{actions}" if actions else shown

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Read the action by the profile's projection."""
        return self.projection(text)

    def answer(self, action: str) -> str:
        """Return the text of a model turn that takes `action`."""
        return tagged_answer(action)
