"""Metrics and rewards of question answering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agentrl.scoring import qa, search_r1
from agentrl.scoring.arpo import judge_arpo
from agentrl.scoring.arpo_evaluation import arpo_answer, arpo_maths_metrics, arpo_metrics
from agentrl.scoring.deepresearcher import deepresearcher_reward
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


def searchr1_reward(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    text, golds = inputs["solution_str"], inputs["golden_answers"]
    reward, scores = search_r1.official_reward, search_r1.FormatScores
    return {
        "extracted": search_r1.official_answer(text),
        "em_reward": reward(text, golds),
        "valid_sequence": search_r1.official_is_valid(text),
        "retrieval_correct": search_r1.is_retrieved(text, golds),
        "format_reward": reward(text, golds, scores(retrieval=0.1)),
        "format_reward_v03": reward(text, golds, scores()),
    }


def arpo_reward(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    return asdict(judge_arpo(inputs["solution_str"], inputs["ground_truth"]))


def arpo_eval_metrics(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    metrics = arpo_maths_metrics if inputs["task"] == "math" else arpo_metrics
    return asdict(metrics(inputs["prediction"], inputs["reference"]))


def arpo_extract_answer(inputs: Inputs, config: Inputs) -> str:
    return arpo_answer(inputs["text"])


def deepresearcher(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    response, golds = inputs["solution_str"], inputs["golden_answers"]
    return {
        "f1": deepresearcher_reward(response, golds),
        "em": deepresearcher_reward(response, golds, exact=True),
    }


def _asked(inputs: Inputs) -> tuple[str, list[str]]:
    golds = inputs["golden_answers"]
    return inputs["prediction"], [golds] if isinstance(golds, str) else golds


FUNCTIONS = {
    "qa.em_f1": em_f1,
    "qa.em_f1_musique": em_f1_musique,
    "qa.em_f1_triviaqa": em_f1_triviaqa,
    "qa.searchr1_em": searchr1_em,
    "qa.zerosearch_em": zerosearch_em,
    "qa.searchr1_reward": searchr1_reward,
    "qa.arpo_reward": arpo_reward,
    "qa.arpo_eval_metrics": arpo_eval_metrics,
    "qa.arpo_extract_answer": arpo_extract_answer,
    "qa.deepresearcher_reward": deepresearcher,
}
