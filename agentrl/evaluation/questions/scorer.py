"""What marks a prediction: a rule, mathematics, or a judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agentrl.envs.questions import Question
from agentrl.evaluation.judge import Judge
from agentrl.scoring.boxed import last_boxed
from agentrl.scoring.hendrycks import normalise_latex
from agentrl.scoring.maths import MathsScorer
from agentrl.scoring.normalise import normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a scorer thinks of a prediction.

    Attributes:
        score: from 0 to 1; None where the scorer itself failed.
        error: why it failed.
        grade: the judge's own word, where it has more than two.
    """

    score: float | None
    error: str = ""
    grade: str = ""


class Scorer(Protocol):
    """Marks predictions."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def binary(self) -> bool:
        """Whether scores are 0 or 1, so that pass@k and maj@k make sense."""

    @property
    def silence(self) -> str:
        """Grade of a sample that failed, of a scorer that tells wrong from not attempted."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What a report has to say of it, for example the judge's model and prompt."""

    async def mark(self, question: Question, prediction: str | None) -> Mark:
        """Mark one prediction; None is no answer."""

    def vote(self, prediction: str) -> str:
        """Return what equal answers have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleScorer:
    """A function of the prediction and the accepted answers.

    Attributes:
        name: of the function.
        rule: returns a score from 0 to 1.
        binary: whether that is 0 or 1.
        silence_reads: the text that no answer counts as; None marks it 0.
        normalised: for votes.
    """

    name: str
    rule: Callable[[str, tuple[str, ...]], float]
    binary: bool = True
    silence_reads: str | None = None
    normalised: Callable[[str], str] = normalise
    silence: str = ""

    @property
    def facts(self) -> Mapping[str, str]:
        """Nothing but the name."""
        return {}

    async def mark(self, question: Question, prediction: str | None) -> Mark:
        """Apply the rule."""
        text = self.silence_reads if prediction is None else prediction
        return Mark(score=0.0 if text is None else self.rule(text, question.answers))

    def vote(self, prediction: str) -> str:
        """Return the normalised text."""
        return self.normalised(prediction)


@dataclass(frozen=True, slots=True, kw_only=True)
class MathsMarker:
    r"""math-verify on the last box of a prediction, or on all of it where it has none.

    Attributes:
        scorer: with the reading `whole`.
    """

    scorer: MathsScorer
    name: str = "maths"
    binary: bool = True
    silence: str = ""
    facts: Mapping[str, str] = field(default_factory=lambda: {"by": "math-verify"})

    async def mark(self, question: Question, prediction: str | None) -> Mark:
        """Compare with each accepted answer, within the question's tolerance if it has one."""
        if prediction is None:
            return Mark(score=0.0)
        answer = _boxed_or_all(prediction)
        tolerance = question.metadata.get("tolerance", "")
        for gold in question.answers:
            if _within(answer, gold, tolerance):
                return Mark(score=1.0)
            verdict = await asyncio.to_thread(self.scorer.score, gold, answer)
            if verdict.correct:
                return Mark(score=1.0, grade=verdict.reason)
        return Mark(score=0.0, grade=verdict.reason if question.answers else "")

    def vote(self, prediction: str) -> str:
        """Return the answer's LaTeX without differences of spelling; 1/2 and 0.5 do differ."""
        return normalise_latex(_boxed_or_all(prediction))


def _boxed_or_all(prediction: str) -> str:
    boxed = last_boxed(prediction, skip_escaped=True)
    return (prediction if boxed is None else boxed).strip()


def _within(answer: str, gold: str, tolerance: str) -> bool:
    try:
        return abs(float(answer) - float(gold)) <= float(tolerance)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeScorer:
    """A judge's verdicts.

    Attributes:
        judge: who is asked.
    """

    judge: Judge
    binary: bool = True

    @property
    def name(self) -> str:
        """`judge:` and the form of the prompt."""
        return f"judge:{self.judge.form}"

    @property
    def silence(self) -> str:
        """What the judge calls no answer."""
        return self.judge.grade_of_silence

    @property
    def facts(self) -> Mapping[str, str]:
        """The judge's model and the hash of its prompt."""
        return {"model": self.judge.model, "prompt hash": self.judge.prompt_hash}

    async def mark(self, question: Question, prediction: str | None) -> Mark:
        """Ask the judge; no answer is wrong without asking."""
        if prediction is None or not prediction.strip():
            return Mark(score=0.0, grade=self.silence)
        verdict = await self.judge.grade(question.question, question.answers, prediction)
        if verdict.correct is None:
            return Mark(score=None, error=verdict.error)
        return Mark(score=float(verdict.correct), grade=verdict.grade)

    def vote(self, prediction: str) -> str:
        """Return the text normalised as for exact match."""
        return normalise(prediction)
