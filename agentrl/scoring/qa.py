"""Metrics of short answers: exact match, token F1 and containment, over one or several golds.

`exact_match` and `token_f1` are those of HotpotQA and 2WikiMultihopQA; exact match is also that of
Search-R1 and NQ-open.  Every metric is the best one over the golds, each metric for itself.  Other
data sets' own definitions have their own names, so that a number always says what it is.

Sources: hotpotqa/hotpot:hotpot_evaluate_v1.py, StonyBrookNLP/musique:metrics/answer.py,
mandarjoshi90/triviaqa:evaluation/triviaqa_evaluation.py and
Alibaba-NLP/ZeroSearch:verl/utils/reward_score/qa_em.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentrl.scoring.normalise import normalise, normalise_triviaqa
from agentrl.scoring.overlap import Overlap, overlap

Golds = str | Sequence[str]
"""The accepted answers; a lone string is one answer."""

_CLOSED_ANSWERS = {"yes", "no", "noanswer"}


def exact_match(prediction: str, golds: Golds) -> float:
    """Return 1 if the prediction equals a gold after normalisation, else 0."""
    return _one_if_any(normalise(prediction) == normalise(gold) for gold in as_golds(golds))


def cover_match(prediction: str, golds: Golds) -> float:
    """Return 1 if the prediction contains a gold after normalisation, else 0.

    An empty gold is contained in everything.  This is Search-R1's sub-EM and what ZeroSearch calls
    EM.
    """
    normalised = normalise(prediction)
    return _one_if_any(normalise(gold) in normalised for gold in as_golds(golds))


def token_f1(prediction: str, golds: Golds) -> float:
    """Return the best token F1; where one side is yes, no or noanswer only equality counts."""
    return best_f1(token_overlap(prediction, gold) for gold in as_golds(golds))


def token_overlap(prediction: str, gold: str) -> Overlap:
    """Return the token overlap behind `token_f1` for one gold."""
    predicted, wanted = normalise(prediction), normalise(gold)
    if predicted != wanted and not _CLOSED_ANSWERS.isdisjoint((predicted, wanted)):
        return Overlap()
    return overlap(predicted.split(), wanted.split())


def musique_f1(prediction: str, golds: Golds) -> float:
    """Return MuSiQue's token F1: no rule for yes and no, and two empty answers agree."""
    predicted = normalise(prediction).split()
    wanted = [normalise(gold).split() for gold in as_golds(golds)]
    if not predicted:
        return _one_if_any(not tokens for tokens in wanted)
    return best_f1(overlap(predicted, tokens) for tokens in wanted)


def triviaqa_exact_match(prediction: str, golds: Golds) -> float:
    """Return 1 if the prediction equals a gold after TriviaQA's normalisation, else 0."""
    normalised = normalise_triviaqa(prediction)
    return _one_if_any(normalised == normalise_triviaqa(gold) for gold in as_golds(golds))


def triviaqa_f1(prediction: str, golds: Golds) -> float:
    """Return the best token F1 after TriviaQA's normalisation; no rule for yes and no."""
    predicted = normalise_triviaqa(prediction).split()
    return best_f1(overlap(predicted, normalise_triviaqa(gold).split()) for gold in as_golds(golds))


def zerosearch_f1(prediction: str, golds: Golds) -> float:
    """Return the best token F1, ZeroSearch's reward; no rule for yes and no."""
    predicted = normalise(prediction).split()
    return best_f1(overlap(predicted, normalise(gold).split()) for gold in as_golds(golds))


def as_golds(golds: Golds) -> Sequence[str]:
    """Return the golds as a list of answers."""
    return [golds] if isinstance(golds, str) else golds


def best_f1(overlaps: Iterable[Overlap]) -> float:
    """Return the highest F1; 0 if there are none."""
    return max((one.f1 for one in overlaps), default=0.0)


def _one_if_any(matches: Iterable[bool]) -> float:
    return float(any(matches))
