"""Marks every prediction of a run by every scorer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentrl.envs.questions import Question, QuestionSet
from agentrl.errors import DataError
from agentrl.evaluation.questions.prediction import Prediction
from agentrl.evaluation.questions.scorer import Mark, Scorer

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedSample:
    """A sample of a question; without a prediction it is missing, and wrong.

    Attributes:
        prediction: what was answered.
        marks: by name of the scorer.
    """

    prediction: Prediction | None
    marks: Mapping[str, Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedQuestion:
    """A question and all its samples, the first first."""

    question: Question
    samples: Sequence[MarkedSample]


async def mark_all(
    questions: QuestionSet,
    predictions: Sequence[Prediction],
    scorers: Sequence[Scorer],
    *,
    samples: int,
    concurrency: int = 32,
) -> list[MarkedQuestion]:
    """Mark a run: every question has `samples` samples, answered or not.

    Args:
        questions: all that should have been asked.
        predictions: what was answered, in any order.
        scorers: who marks.
        samples: per question.
        concurrency: predictions marked at once.

    Raises:
        DataError: a prediction belongs to no question of the set, or its answers are hidden.
    """
    _check(questions, predictions)
    by_place = {(found.id, found.sample): found for found in predictions}
    gate = asyncio.Semaphore(concurrency)

    async def mark(question: Question, sample: int) -> MarkedSample:
        prediction = by_place.get((question.id, sample))
        if prediction is None or prediction.failed:
            marks = {scorer.name: Mark(score=0.0, grade=scorer.silence) for scorer in scorers}
        else:
            async with gate:
                marks = {
                    scorer.name: await scorer.mark(question, prediction.prediction)
                    for scorer in scorers
                }
        return MarkedSample(prediction=prediction, marks=marks)

    places = [(row, sample) for row in questions for sample in range(samples)]
    marked = await asyncio.gather(*(mark(row, sample) for row, sample in places))
    return [
        MarkedQuestion(question=row, samples=marked[place * samples : (place + 1) * samples])
        for place, row in enumerate(questions)
    ]


def _check(questions: QuestionSet, predictions: Sequence[Prediction]) -> None:
    known = {row.id for row in questions}
    unknown = sorted({found.id for found in predictions} - known)
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise DataError(
            f"There are predictions for questions that {questions.label} does not have: "
            f"{', '.join(unknown[:_SHOWN])}{more}. Load the set or subset that was asked."
        )
    hidden = [row.id for row in questions if not row.answers]
    if hidden:
        raise DataError(
            f"{len(hidden)} answers of {questions.label} are hidden, for example that of "
            f"{hidden[0]}; predictions can be handed in to the set's authors, not scored here."
        )
