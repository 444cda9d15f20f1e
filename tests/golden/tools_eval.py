"""Evaluation: pass@k, replies of judges, encrypted rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.evaluation.at_k import pass_at_k
from agentrl.scoring.cipher import xor_decrypt
from agentrl.scoring.judge_text import browsecomp_choice, says_correct

Inputs = Mapping[str, Any]


def at_k(inputs: Inputs, config: Inputs) -> float:
    return pass_at_k(inputs["n"], inputs["c"], inputs["k"])


def judge_parse(inputs: Inputs, config: Inputs) -> dict[str, Any]:
    reply = inputs["text"]
    return {"arpo": says_correct(reply), "browsecomp_choice": browsecomp_choice(reply)}


def decrypt(inputs: Inputs, config: Inputs) -> str:
    return xor_decrypt(inputs["ciphertext_b64"], inputs["password"])


FUNCTIONS = {
    "eval.pass_at_k": at_k,
    "eval.judge_parse": judge_parse,
    "eval.xor_decrypt": decrypt,
}
