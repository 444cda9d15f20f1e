"""Puts every question to an agent so many times, and writes down what it answers."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrl.envs.questions import Question, QuestionSet
from agentrl.errors import ConfigError, DataError
from agentrl.evaluation.questions.prediction import ERROR, TIMEOUT, Prediction
from agentrl.evaluation.questions.prediction_file import (
    PredictionWriter,
    RunHeader,
    read_predictions,
)

Answer = Callable[[Question, int], Awaitable[Prediction]]
"""An agent: answers a question; the number of the sample may seed it."""
Progress = Callable[[Prediction, int, int], None]
"""Told of each new prediction, how many there are and how many there will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How questions are put.

    Attributes:
        agent: who answers, for the report.
        samples: per question.
        concurrency: questions under way at once.
        deadline: seconds a sample may take; then it has failed with `timeout`.
        retry_errors: when going on with a run, ask again where a sample had failed with `error`;
            a timeout is the agent's own and stays.
        described: what else the report is to say of the agent: model, temperature, tools.
        versions: of the packages involved.
    """

    agent: str
    samples: int = 1
    concurrency: int = 8
    deadline: float = 1500.0
    retry_errors: bool = False
    described: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("samples", "concurrency", "deadline"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"`{name}` is {getattr(self, name)}; it must be greater than 0.")


async def answer_questions(
    questions: QuestionSet,
    answer: Answer,
    path: Path,
    settings: RunSettings,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Ask what has not been asked yet; return all predictions, in the order of the set.

    Transcripts of a private set are not kept, since they hold its questions in plain text.

    Args:
        questions: what is asked.
        answer: who is asked; an exception of it is the sample's error.
        path: where predictions are written; a run that is there already is gone on with.
        settings: how.
        progress: is told of each new prediction.

    Raises:
        DataError: the file is of another run.
    """
    header = _header(questions, settings)
    done = _unfinished(path, header, settings.retry_errors)
    asked = [(row, sample) for sample in range(settings.samples) for row in questions]
    places = [(row.id, sample) for row, sample in asked]
    left = iter([(row, sample) for row, sample in asked if (row.id, sample) not in done])

    count = itertools.count(1 + sum(place in done for place in places))

    async def work() -> None:
        for question, sample in left:
            prediction = await _ask(answer, question, sample, settings.deadline)
            if questions.private:
                prediction = dataclasses.replace(prediction, transcript=None)
            writer.write(prediction)
            done[prediction.id, prediction.sample] = prediction
            if progress is not None:
                progress(prediction, next(count), len(places))

    with PredictionWriter(path, header, done.values()) as writer:
        async with asyncio.TaskGroup() as group:
            for _ in range(settings.concurrency):
                group.create_task(work())
    return [done[place] for place in places]


async def _ask(answer: Answer, question: Question, sample: int, deadline: float) -> Prediction:
    started = time.monotonic()
    try:
        async with asyncio.timeout(deadline) as limit:
            found = await answer(question, sample)
        return dataclasses.replace(found, id=question.id, sample=sample)
    except Exception as error:
        late = limit.expired()
        return Prediction(
            id=question.id,
            sample=sample,
            stop=TIMEOUT if late else ERROR,
            error=f"no answer within {deadline:g} s"
            if late
            else f"{type(error).__name__}: {error}",
            seconds=time.monotonic() - started,
        )


def _header(questions: QuestionSet, settings: RunSettings) -> RunHeader:
    return RunHeader(
        questions=questions.label,
        hash=questions.hash,
        agent=settings.agent,
        samples=settings.samples,
        settings={**settings.described, "deadline": settings.deadline},
        versions=settings.versions,
    )


def _unfinished(
    path: Path, header: RunHeader, retry_errors: bool
) -> dict[tuple[str, int], Prediction]:
    """Return the predictions to keep of a run that is gone on with.

    It may have had fewer samples, or more: those are kept too.
    """
    if not path.is_file():
        return {}
    found, predictions = read_predictions(path)
    if found is None or not _same_run(found, header):
        raise DataError(
            f"{str(path)!r} holds predictions of another run "
            f"({found.to_json() if found else 'without a header'}); this one is "
            f"{header.to_json()}. Choose another file, or remove it."
        )
    return {
        (prediction.id, prediction.sample): prediction
        for prediction in predictions
        if not (retry_errors and prediction.stop == ERROR)
    }


def _same_run(found: RunHeader, wanted: RunHeader) -> bool:
    """Compare everything but the number of samples, as it reads back from a file."""
    found = dataclasses.replace(found, samples=wanted.samples)
    return bool(found.to_json() == json.loads(json.dumps(wanted.to_json())))
