"""GAIA's scorer and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.scoring.gaia import elements_of, normalise_text, number_of, question_scorer


def scorer(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    return question_scorer(inputs["model_answer"], inputs["ground_truth"])


def normalize(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    text = inputs["s"]
    if inputs["fn"] == "normalize_number_str":
        return repr(number_of(text))
    if inputs["fn"] == "split_string":
        return elements_of(text)
    assert inputs["fn"] == "normalize_str", inputs["fn"]
    return normalise_text(text, keep_punctuation=not inputs.get("remove_punct", True))


FUNCTIONS = {"gaia.scorer": scorer, "gaia.normalize": normalize}
