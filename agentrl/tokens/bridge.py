"""What lies between two model turns: its ids, or why it cannot be appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ANSWER = "Answer7421"
"""The text of the dummy model turn after which messages are rendered."""
THOUGHT = "Thought7421"
"""What it thinks, where it does."""


class RefusalReason(StrEnum):
    """Why a conversation cannot be extended by appending."""

    REWRITES_HISTORY = "rewrites_history"
    """The new messages change how the template shows an earlier turn."""
    STRIPS_THINKING = "strips_thinking"
    """The template removes the thinking of a turn once another one follows."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Says that a bridge would not give what the template gives.

    Attributes:
        reason: for programs.
        detail: for people.
    """

    reason: RefusalReason
    detail: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """Ids from the end of a sampled turn to the start of the next.

    Attributes:
        closing: the end-of-turn id the model did not reach, written by the template; or empty.
        ids: the new messages and the header of the next model turn, written by the environment.
    """

    closing: list[int]
    ids: list[int]


def calls_answered(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tool calls that `messages` hold the results of."""
    results = [message for message in messages if message.get("role") == "tool"]
    return [
        {
            "type": "function",
            "id": result.get("tool_call_id", f"call{position:05d}"),
            "function": {"name": result.get("name", "tool"), "arguments": {}},
        }
        for position, result in enumerate(results)
    ]


def dummy_exchange(calls: list[dict[str, Any]], thought: bool) -> list[dict[str, Any]]:
    """Return a short exchange whose model turn makes these calls."""
    content = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}" if thought else ANSWER
    turn = {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
    return [{"role": "user", "content": "Question"}, turn]


def refusal(thinking: bool) -> Refusal:
    """Say why there is no bridge: the template strips thinking, or rewrites history."""
    if thinking:
        detail = "The chat template removes the thinking of earlier turns."
        return Refusal(RefusalReason.STRIPS_THINKING, detail)
    detail = "The chat template shows earlier turns differently once these messages follow."
    return Refusal(RefusalReason.REWRITES_HISTORY, detail)
