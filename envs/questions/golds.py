"""Accepted answers of mathematics that no answer could match, found before anything is asked."""

from __future__ import annotations

import dataclasses
from typing import Literal

from agentrl.envs.questions.question import Question, QuestionSet
from agentrl.errors import DataError
from agentrl.scoring.maths import MathsScorer


def with_verified_golds(
    questions: QuestionSet, scorer: MathsScorer, unverified: Literal["refuse", "drop"] = "refuse"
) -> QuestionSet:
    """Return the questions of mathematics whose answers verify against themselves.

    Args:
        questions: a set of mathematics; each answer takes a few milliseconds.
        scorer: that will mark the answers.
        unverified: what to do about rows with an answer that does not.

    Raises:
        DataError: there are such rows and they are refused, or nothing is left.
    """
    useless = {row.id: reason for row in questions if (reason := _reason(row, scorer))}
    if not useless:
        return questions
    first, reason = next(iter(useless.items()))
    if unverified == "refuse" or len(useless) == len(questions):
        raise DataError(
            f"{len(useless)} of {len(questions)} rows of {questions.label} cannot be answered; the "
            f"first is {first!r}: {reason} Leave such rows out with unverified='drop'."
        )
    return dataclasses.replace(
        questions,
        questions=tuple(row for row in questions if row.id not in useless),
        remarks=(
            *questions.remarks,
            f"{len(useless)} rows whose answer does not verify left out: {', '.join(useless)}",
        ),
    )


def _reason(row: Question, scorer: MathsScorer) -> str:
    try:
        for answer in row.answers:
            scorer.check_gold(answer)
    except DataError as error:
        return str(error)
    return ""
