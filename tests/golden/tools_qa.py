"""Metrics and rewards of question answering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.scoring import qa
from agentrl.scoring.normalise import normalise, normalise_triviaqa

Inputs = Mapping[str, Any]


def em_f1(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    prediction, golds = _asked(inputs)
    overlaps = [qa.token_overlap(prediction, gold) for gold in golds]
    return {
        "normalized": normalise(prediction),
        "em": qa.exact_match(prediction, golds),
        "f1": qa.token_f1(prediction, golds),
        "precision": max(overlap.precision for overlap in overlaps),
        "recall": max(overlap.recall for overlap in overlaps),
    }


def em_f1_musique(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    prediction, golds = _asked(inputs)
    return {"em": qa.exact_match(prediction, golds), "f1": qa.musique_f1(prediction, golds)}


def em_f1_triviaqa(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    prediction, golds = _asked(inputs)
    return {
        "normalized": normalise_triviaqa(prediction),
        "em": qa.triviaqa_exact_match(prediction, golds),
        "f1": qa.triviaqa_f1(prediction, golds),
    }


def searchr1_em(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    prediction, golds = _asked(inputs)
    return {"em": qa.exact_match(prediction, golds), "sub_em": qa.cover_match(prediction, golds)}


def zerosearch_em(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    prediction, golds = _asked(inputs)
    return {"sub_em": qa.cover_match(prediction, golds), "f1": qa.zerosearch_f1(prediction, golds)}


def _asked(inputs: Inputs) -> tuple[str, list[str]]:
    golds = inputs["golden_answers"]
    return inputs["prediction"], [golds] if isinstance(golds, str) else golds


FUNCTIONS = {
    "qa.em_f1": em_f1,
    "qa.em_f1_musique": em_f1_musique,
    "qa.em_f1_triviaqa": em_f1_triviaqa,
    "qa.searchr1_em": searchr1_em,
    "qa.zerosearch_em": zerosearch_em,
}
