"""Rewards of question answering, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agentrl.envs.tooluse.action import Action
from agentrl.errors import unknown_name
from agentrl.scoring.arpo import judge_arpo
from agentrl.scoring.boxed import last_boxed
from agentrl.scoring.qa import cover_match, exact_match, token_f1
from agentrl.scoring.search_r1 import FormatScores, is_valid_sequence, search_r1_reward
from agentrl.tools.base import ToolCall, ToolResult
from agentrl.tools.dialects import Arpo, Dialect, SearchR1
from agentrl.types import shown_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What an answer is worth.

    Attributes:
        reward: for training.
        score: in [0, 1], for reports.
        correct: whether it counts as right.
        parts: named numbers behind the reward.
    """

    reward: float
    score: float
    correct: bool
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Response:
    """All that was said and found in an episode.

    Attributes:
        question: what was asked.
        turns: what was said, and the results it got.
    """

    question: str
    turns: list[tuple[Action, tuple[ToolResult, ...]]] = field(default_factory=list)

    def said(self, action: Action, results: Sequence[ToolResult] = ()) -> None:
        """Add a turn."""
        self.turns.append((action, tuple(results)))

    def written(self, dialect: Dialect) -> str:
        """Return the whole response as a dialect writes it, for rewards that read its form."""
        parts: list[str] = []
        for action, results in self.turns:
            parts.append(action.text or dialect.write(action.reply))
            names = [call.name if isinstance(call, ToolCall) else "" for call in action.reply.calls]
            if results:
                parts.append(shown_text(dialect.results(names, results)))
            elif action.reply.problem:
                parts.append(shown_text(dialect.note(action.reply.problem)))
        return "".join(parts)

    @property
    def anchor(self) -> str:
        """Question and calls so far: equal for equal states."""
        calls = (repr(call) for action, _ in self.turns for call in action.reply.calls)
        return "\n".join([self.question, *calls])

    def copy(self) -> Response:
        """Return an independent copy."""
        return Response(self.question, list(self.turns))


Reward = Callable[[str | None, Sequence[str], Response], Judged]
"""Of an answer (None where the episode ended without), the accepted ones, and all that was said."""


def _metric(measure: Callable[[str, Sequence[str]], float]) -> Reward:
    def judge(answer: str | None, golds: Sequence[str], response: Response) -> Judged:
        plain = plain_answer(answer)
        value = measure(plain, golds)
        return Judged(reward=value, score=value, correct=value == 1.0)

    return judge


def plain_answer(answer: str | None) -> str:
    """Return an answer without the box it may stand in; empty for none."""
    return "" if answer is None else (last_boxed(answer) or answer).strip()


def _f1(answer: str | None, golds: Sequence[str], response: Response) -> Judged:
    plain = plain_answer(answer)
    value = token_f1(plain, golds)
    return Judged(reward=value, score=value, correct=exact_match(plain, golds) == 1.0)


def _search_r1(answer: str | None, golds: Sequence[str], response: Response) -> Judged:
    """Search-R1 v0.3, with the values of its scripts."""
    text = response.written(SearchR1())
    right = answer is not None and exact_match(answer, golds) == 1.0
    return Judged(
        reward=search_r1_reward(text, golds, FormatScores()),
        score=float(right),
        correct=right,
        parts={"valid_structure": float(is_valid_sequence(text))},
    )


def _arpo(answer: str | None, golds: Sequence[str], response: Response) -> Judged:
    """ARPO and AEPO: -1 for a bad form, else F1, and more for using both tools."""
    verdict = judge_arpo(response.written(Arpo()), golds)
    return Judged(
        reward=verdict.score,
        score=verdict.f1,
        correct=bool(verdict.answer) and exact_match(verdict.answer, golds) == 1.0,
        parts={"f1": verdict.f1},
    )


REWARDS: Mapping[str, Reward] = {
    "em": _metric(exact_match),
    "f1": _f1,
    "cover": _metric(cover_match),
    "search_r1": _search_r1,
    "arpo": _arpo,
}


def reward_named(name: str) -> Reward:
    """Return a reward.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in REWARDS:
        raise unknown_name("reward", name, REWARDS)
    return REWARDS[name]
