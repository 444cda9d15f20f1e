"""What a model sees at each turn: one growing sequence, or a window of the last turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrl.errors import ConfigError
from agentrl.tokens.bridge import Refusal
from agentrl.tokens.renderer import Renderer
from agentrl.types import Continued, Message, Shown


@dataclass(frozen=True, slots=True)
class ContextMode:
    """How much of an episode the model sees.

    Attributes:
        turns: None for `full`: one sequence that grows by every turn.  Otherwise `window(turns)`:
            each turn is a sequence of its own that shows this many earlier turns, as in the
            ALFWorld and WebShop experiments of GiGPO (langfengQ/verl-agent:agent_system/memory).
    """

    turns: int | None = None

    @classmethod
    def parse(cls, text: str) -> ContextMode:
        """Read `full` or `window(k)`.

        Raises:
            ConfigError: the text is neither.
        """
        if text.strip() == "full":
            return cls()
        match = re.fullmatch(r"\s*window\(\s*(\d+)\s*\)\s*", text)
        if match is None:
            raise ConfigError(
                f"`rollout.context` is {text!r}; use `auto`, or `full` or `window(k)` with k >= 0 "
                "earlier turns shown, for example `window(4)`."
            )
        return cls(int(match[1]))

    @classmethod
    def choose(cls, text: str, *, per_turn: bool) -> ContextMode:
        """Read `rollout.context` for a prompt.

        Args:
            text: `auto`, `full` or `window(k)`.
            per_turn: the prompt writes one message per turn with history of its own.  Such turns
                are sequences of their own, which `auto` chooses, and nothing else shows them.

        Raises:
            ConfigError: the text is none of these, or shows history a second time.
        """
        if text.strip() == "auto":
            return cls(0 if per_turn else None)
        mode = cls.parse(text)
        if per_turn and mode.turns != 0:
            raise ConfigError(
                f"`rollout.context` is {text!r}, but `environment.prompt` is one that writes the "
                "whole message of every turn, history included. Use `rollout.context=auto`, or "
                "choose another prompt such as `chat` or `plain`."
            )
        return mode

    def __str__(self) -> str:
        return "full" if self.turns is None else f"window({self.turns})"


@dataclass(frozen=True, slots=True)
class Extension:
    """What follows a sampled turn.

    Attributes:
        restart: False to append `closing` and `ids` to the sequence; True to start a new sequence
            of the same episode with `ids`.
        ids: written by the environment.
        closing: the end-of-turn id the model did not reach, written by the template; or empty.
        refusal: why a `full` context had to restart; None otherwise.
    """

    restart: bool
    ids: list[int]
    closing: list[int]
    refusal: Refusal | None = None


class Conversation:
    """Tracks one episode and says which ids come before each model turn.

    Sampled ids are never decoded and encoded again inside a sequence.  A new sequence (window
    mode, or a refused bridge) is a new prompt, in which earlier model turns are shown as text.

    Args:
        renderer: messages to ids.
        mode: how much of the episode is shown.
        tools: tool schemas for the chat template.
    """

    def __init__(
        self,
        renderer: Renderer,
        mode: ContextMode,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.renderer = renderer
        self.mode = mode
        self.tools = tools
        self._head: list[Message] = []
        self._turns: list[list[Message]] = []
        self._current: list[Message] = []
        self._begun = ""  # what the present model turn holds already, results in it included

    def start(self, system: str | None, first: Shown) -> list[int]:
        """Return the ids of the first prompt.

        Args:
            system: the system text; None or empty for none.
            first: the first observation, as text or messages.
        """
        self._head = [{"role": "system", "content": system}] if system else []
        self._turns = []
        self._current, self._begun = _messages(first), ""
        return self._prompt()

    def extend(
        self,
        model_ids: Sequence[int],
        observation: Shown,
        *,
        ended: bool | None = None,
    ) -> Extension:
        """Return what follows a sampled turn.

        Args:
            model_ids: the turn as sampled, end-of-turn id included where it was reached.
            observation: the answer to it: the text of a user message, or messages (for example
                the results of all its tool calls), or what continues the turn.  A turn that the
                model has closed cannot be continued, nor can one of a window: then it is the text
                of a user message.
            ended: whether the turn is closed; by default, whether the ids end with a stop id.
        """
        turn = self.renderer.parse(model_ids)
        closed = turn.ended if ended is None else ended
        if isinstance(observation, Continued) and not closed and self.mode.turns is None:
            self._begun += turn.text + observation.text
            return Extension(False, self.renderer.continuation(observation.text), [])
        answer = _messages(observation)
        text, self._begun = self._begun + turn.text, ""
        self._turns.append([*self._current, {"role": "assistant", "content": text}])
        self._current = answer
        if self.mode.turns is not None:
            return Extension(True, self._prompt(), [])
        bridge = self.renderer.bridge(
            answer,
            ended=closed,
            tools=self.tools,
            thought="</think>" in text,
        )
        if isinstance(bridge, Refusal):
            return Extension(True, self._prompt(), [], bridge)
        return Extension(False, bridge.ids, bridge.closing)

    def fork(self) -> Conversation:
        """Return an independent copy, for a branch of the episode."""
        copy = Conversation(self.renderer, self.mode, self.tools)
        copy._head, copy._turns = self._head, list(self._turns)
        copy._current, copy._begun = self._current, self._begun
        return copy

    def _prompt(self) -> list[int]:
        first = 0 if self.mode.turns is None else max(0, len(self._turns) - self.mode.turns)
        shown = [message for turn in self._turns[first:] for message in turn]
        return self.renderer.prompt([*self._head, *shown, *self._current], self.tools)


def _messages(observation: Shown) -> list[Message]:
    if isinstance(observation, Continued):
        observation = observation.text.strip()
    if isinstance(observation, str):
        return [{"role": "user", "content": observation}]
    return list(observation)
