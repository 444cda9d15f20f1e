"""Profile `step`: every turn is one prompt of its own, rebuilt with a window of history.

Information content as in langfengQ/verl-agent (agent_system/environments/env_manager.py), which the
experiments of GiGPO, SPEAR and EPO use; the wording is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from agentrl.envs.base import Info, ParsedAction, PastStep
from agentrl.envs.prompts.projection import LENIENT, Projection
from agentrl.envs.prompts.showing import ADMISSIBLE, ListActions, Show, as_it_is
from agentrl.errors import ConfigError

ANSWER_FORM = (
    "Think first between <think> and </think>. Then give exactly one action between <action> and "
    "</action>."
)


def tagged_answer(action: str) -> str:
    """Return `action` as a model writes it that was asked for `ANSWER_FORM`."""
    return f"<think></think><action>{action}</action>"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProfile:
    """One user message per turn: goal, latest steps, observation, actions, form of the answer.

    Attributes:
        blurb: where the agent acts, to complete "You control an agent in ...".
        history: how many of the latest steps are shown with observation and action.
        all_actions: older steps are shown with their action only.
        goal_in_first: the first observation says the goal, so its message does not repeat it.
        max_characters: a longer message is written again without history; None for no limit.
        guide: text before the list of actions, such as what the actions mean.
        show: how observations are written, past ones too.
        actions: how the possible actions are written.
        step_labels: history lines begin with `Step k`.
        projection: how the action is read.
        stop_strings: what ends a model turn.
        revision: raised by an environment whenever its own part of the text changes.
    """

    wording: ClassVar[int] = 1

    blurb: str
    history: int = 2
    all_actions: bool = False
    goal_in_first: bool = False
    max_characters: int | None = None
    guide: str = ""
    show: Show = as_it_is
    actions: ListActions = ADMISSIBLE
    step_labels: bool = False
    projection: Projection = LENIENT
    stop_strings: tuple[str, ...] = ("</action>",)
    revision: int = 0

    def __post_init__(self) -> None:
        if self.history < 0:
            raise ConfigError(f"`history` is {self.history}; it must be an integer >= 0.")

    @property
    def version(self) -> int:
        """Version of the text: it rises with every change of wording."""
        return self.wording + self.revision

    def system(self, info: Info) -> str | None:
        """Return None: everything is in the user message."""
        return None

    def observe(self, observation: str, info: Info) -> str:
        """Return the message of a first turn."""
        return self.message(observation, info, ())

    def message(self, observation: str, info: Info, past: Sequence[PastStep]) -> str:
        """Return the whole user message of one turn."""
        text = self._compose(observation, info, past, self._history(info, past))
        if self.max_characters is not None and len(text) > self.max_characters:
            text = self._compose(observation, info, past, "")
        return text

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Read the action by the profile's projection."""
        return self.projection(text)

    def answer(self, action: str) -> str:
        """Return the text of a model turn that takes `action`."""
        return tagged_answer(action)

    def _compose(self, observation: str, info: Info, past: Sequence[PastStep], history: str) -> str:
        parts = [f"You control an agent in {self.blurb}."]
        if past or not self.goal_in_first:
            parts.append(f"Goal: {info['task']}")
        if history:
            parts.append(history)
        parts.append(f"Step {len(past) + 1}. You now observe:\n{self.show(observation, info)}")
        if self.guide:
            parts.append(self.guide)
        actions = self.actions(info)
        if actions:
            parts.append(f"Actions you can take now:\n{actions}")
        return "\n".join([*parts, ANSWER_FORM])

    def _history(self, info: Info, past: Sequence[PastStep]) -> str:
        """Return the lines about earlier steps; empty if there are none to show."""
        recent = min(self.history, len(past))
        first = 0 if self.all_actions else len(past) - recent
        if first == len(past):
            return ""
        lines = [
            self._line(number, step, info, whole=number > len(past) - recent)
            for number, step in enumerate(past[first:], first + 1)
        ]
        what = (
            "The latest" if not self.all_actions else "All actions, and observations of the latest"
        )
        head = f"Steps taken so far: {len(past)}. {what} {recent}"
        return "\n".join([f"{head}{':' if self.all_actions else ' of them:'}", *lines])

    def _line(self, number: int, step: PastStep, info: Info, *, whole: bool) -> str:
        label = f"Step {number}, " if self.step_labels else ""
        if whole:
            label += f"Observation {number}: '{self.show(step.observation, info)}', "
        return f"[{label}Action {number}: '{step.action}']"
