"""The numbers of a group of questions: averages, pass@k, maj@k, and what they are over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentrl.evaluation.at_k import maj_at_k, pass_at_k
from agentrl.evaluation.interval import success_interval
from agentrl.evaluation.questions.bootstrap import bootstrap_interval
from agentrl.evaluation.questions.marking import MarkedQuestion, MarkedSample
from agentrl.evaluation.questions.scorer import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one scorer says of a group.

    Attributes:
        average: avg@n, the mean over questions of the mean over their marked samples; None where
            none was marked.
        interval: its 95 % interval.
        pass_at: pass@k by k, unbiased; of scores that are 0 or 1.
        maj_at: maj@k by k; of scores that are 0 or 1.
        questions: with a marked sample; the averages are over these.
        samples: that were marked.
        errors: samples that the scorer could not mark; they are in no average.
        more: numbers that only some judges have.
    """

    average: float | None
    interval: tuple[float, float]
    pass_at: Mapping[int, float]
    maj_at: Mapping[int, float]
    questions: int
    samples: int
    errors: int
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What the samples of a group took, and how they ended.

    Attributes:
        samples: that should be there.
        missing: that are not; they count as wrong.
        failed: that failed or ran out of time; they count as wrong.
        stops: how many ended for which reason.
        calls: mean of the samples that are there; None without any, as the next two.
        tokens: mean.
        seconds: mean.
    """

    samples: int
    missing: int
    failed: int
    stops: Mapping[str, int]
    calls: float | None
    tokens: float | None
    seconds: float | None


def score_of(group: Sequence[MarkedQuestion], scorer: Scorer, ks: Sequence[int]) -> Score:
    """Return what a scorer says of a group of questions.

    Args:
        group: the questions.
        scorer: one that has marked them.
        ks: for pass@k and maj@k; a question with fewer marked samples is in neither.
    """
    marked = [known for question in group if (known := _known(question, scorer.name))]
    values = [[value for _, value in known] for known in marked]
    means = [sum(each) / len(each) for each in values]
    wanted = [k for k in ks if scorer.binary and any(len(each) >= k for each in values)]
    return Score(
        average=_mean(means),
        interval=success_interval(values) if scorer.binary else bootstrap_interval(means),
        pass_at={k: _pass_at(values, k) for k in wanted},
        maj_at={k: _maj_at(marked, scorer, k) for k in wanted},
        questions=len(marked),
        samples=sum(map(len, values)),
        errors=sum(len(row.samples) for row in group) - sum(map(len, values)),
        more=_attempted(group, scorer),
    )


def effort_of(group: Sequence[MarkedQuestion]) -> Effort:
    """Return what the samples of a group took."""
    found = [sample.prediction for row in group for sample in row.samples]
    there = [prediction for prediction in found if prediction is not None]
    return Effort(
        samples=len(found),
        missing=len(found) - len(there),
        failed=sum(prediction.failed for prediction in there),
        stops=dict(sorted(Counter(prediction.stop for prediction in there).items())),
        calls=_mean([float(prediction.calls) for prediction in there]),
        tokens=_mean([float(prediction.tokens) for prediction in there]),
        seconds=_mean([prediction.seconds for prediction in there]),
    )


def _known(question: MarkedQuestion, name: str) -> list[tuple[MarkedSample, float]]:
    """Return the samples that the scorer could mark, with their scores."""
    pairs = [(sample, sample.marks[name].score) for sample in question.samples]
    return [(sample, score) for sample, score in pairs if score is not None]


def _pass_at(values: Sequence[list[float]], k: int) -> float:
    rates = [
        pass_at_k(len(each), sum(v == 1 for v in each), k) for each in values if len(each) >= k
    ]
    return sum(rates) / len(rates)


def _maj_at(
    marked: Sequence[Sequence[tuple[MarkedSample, float]]], scorer: Scorer, k: int
) -> float:
    rates = []
    for known in marked:
        if len(known) >= k:
            votes = [_vote(sample, scorer) for sample, _ in known]
            rates.append(maj_at_k(votes, [score == 1 for _, score in known], k))
    return sum(rates) / len(rates)


def _vote(sample: MarkedSample, scorer: Scorer) -> str | None:
    """Return what a sample votes for; one that failed or says nothing does not vote."""
    prediction = sample.prediction
    if prediction is None or prediction.failed or prediction.prediction is None:
        return None
    return scorer.vote(prediction.prediction)


def _attempted(group: Sequence[MarkedQuestion], scorer: Scorer) -> dict[str, float]:
    """Return SimpleQA's numbers, where a scorer tells wrong from not attempted.

    Source: openai/simple-evals:simpleqa_eval.py.
    """
    marks = [sample.marks[scorer.name] for row in group for sample in row.samples]
    known = [mark for mark in marks if mark.score is not None]
    if not scorer.silence or not known:
        return {}
    tried = sum(mark.grade != scorer.silence for mark in known)
    correct = sum(mark.score == 1 for mark in known)
    overall, given = correct / len(known), correct / tried if tried else 0.0
    return {
        "attempted": tried / len(known),
        "correct given attempted": given,
        "F1 of both": 2 * overall * given / (overall + given) if correct else 0.0,
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
