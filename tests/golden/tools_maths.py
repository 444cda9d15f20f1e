"""Rewards of single-turn mathematics, and math-verify through our processes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from agentrl.scoring import boxed
from agentrl.scoring.dapo import READ_OF_BOX, dapo_answer, dapo_reward
from agentrl.scoring.gsm8k import gsm8k_answer, gsm8k_reward
from agentrl.scoring.hendrycks import math_reward
from agentrl.scoring.maths import MathsScorer

Inputs = Mapping[str, Any]


def box(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    text = inputs["text"]
    content = boxed.last_boxed(text)
    return {
        "last_boxed": None if content is None else f"\\boxed{{{content}}}",
        "content": content,
        "arpo_last_boxed": boxed.last_box(text),
        "strict_last100": boxed.last_boxed(text[-READ_OF_BOX:]),
    }


def dapo(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    response, gold = inputs["solution_str"], inputs["ground_truth"]
    answer = dapo_answer(response)
    return {
        "dapo_score": dapo_reward(response, gold),
        "dapo_pred": "[INVALID]" if answer is None else answer,
        "dapo_strict_score": dapo_reward(response, gold, boxed_only=True),
        "math_score": math_reward(response, gold),
    }


def gsm8k(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    response, gold = inputs["solution_str"], inputs["ground_truth"]
    return {
        "strict_answer": gsm8k_answer(response),
        "flexible_answer": gsm8k_answer(response, flexible=True),
        "strict_score": gsm8k_reward(response, gold),
        "flexible_score": gsm8k_reward(response, gold, flexible=True),
    }


def verified(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    from math_verify import parse  # what it reads is checked too, so that versions are pinned

    gold, prediction = inputs["gold"], inputs["prediction"]
    return {
        "verl": float(_scorer("verl").score(gold, prediction).correct),
        "default": _scorer("default").score(gold, prediction).correct,
        "boxed_strict": _scorer("strict").score(gold, prediction).correct,
        "parsed_default": [str(part) for part in parse(prediction)],
    }


@cache
def _scorer(reading: str) -> MathsScorer:
    return MathsScorer(reading=reading, workers=1, seconds=10)


FUNCTIONS = {
    "math.boxed": box,
    "math.dapo_reward": dapo,
    "math.gsm8k_reward": gsm8k,
    "math.math_verify": verified,
}
