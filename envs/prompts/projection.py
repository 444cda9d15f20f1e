"""How an action is read from a model's text with `<think>` and `<action>` tags.

The rule is that of langfengQ/verl-agent (agent_system/environments/env_package/*/projection.py),
taken apart: what is sent where the tag is missing, and what makes an answer invalid.  An invalid
answer's action is sent all the same, unless there is none to send; whether the environment knows
the action is the environment's business (`info["action_valid"]`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentrl.envs.base import ParsedAction

_CJK = re.compile("[\u4e00-\u9fff]")
_OPEN, _CLOSE = "<action>", "</action>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Reads an action: the text between the first `<action>` and the first `</action>`.

    Attributes:
        tail: without the tag, this many characters from the end are sent; None sends nothing, so
            that the environment takes no step and the observation is shown again.
        lower: the answer is read in lower case, tags included.
        think: an answer without `<think>` and `</think>` is invalid.
        cjk: an answer with a Chinese character (U+4E00 to U+9FFF) is valid.
        closed: the tag counts as missing if it is not closed.  Otherwise an unclosed action reads
            to the end of its line: an engine may have cut the closing tag off as a stop string.
        unquote: one pair of quotes around the action is taken off, as actions are listed in quotes.
        empty: an empty action is valid.
    """

    tail: int | None = 30
    lower: bool = False
    think: bool = True
    cjk: bool = False
    closed: bool = False
    unquote: bool = True
    empty: bool = False

    def __call__(self, text: str) -> ParsedAction:
        """Return the action and whether the text has the asked form."""
        searched = text.lower() if self.lower else text
        action = self._tagged(searched)
        if action or (action is not None and self.empty):
            reason = self._objection(text)
            return ParsedAction(action, not reason, reason)
        reason = "no <action> tag" if action is None else "empty action"
        if self.tail is None:
            return ParsedAction(None, False, reason)
        return ParsedAction(searched[-self.tail :].strip() if action is None else "", False, reason)

    def _tagged(self, text: str) -> str | None:
        """Return what the tag holds, or None where it is missing."""
        start, end = text.find(_OPEN), text.find(_CLOSE)
        if start < 0 or (end < 0 and self.closed):
            return None
        start += len(_OPEN)
        if end >= 0:
            action = text[start:end].strip()
        else:
            action = next(iter(text[start:].strip().splitlines()), "").strip()
        if self.unquote and len(action) > 1 and action[0] == action[-1] and action[0] in "'\"":
            action = action[1:-1].strip()
        return action

    def _objection(self, text: str) -> str:
        """Return what the form of the answer lacks; empty if nothing."""
        if self.think and ("<think>" not in text or "</think>" not in text):
            return "no <think> tags"
        if not self.cjk and _CJK.search(text):
            return "Chinese characters"
        return ""


LENIENT = Projection()
"""Without a tag the last 30 characters are sent; the step is taken and marked invalid."""

STRICT = Projection(tail=None)
"""Without a tag, or with an empty one, no step is taken and the observation is shown again."""


def verl_agent(*, tail: int, lower: bool) -> Projection:
    """Return the rule of langfengQ/verl-agent to the letter.

    Args:
        tail: 30 in ALFWorld, 20 in WebShop and ScienceWorld.
        lower: True in ALFWorld and WebShop, False in ScienceWorld.
    """
    return Projection(tail=tail, lower=lower, closed=True, unquote=False, empty=True)
