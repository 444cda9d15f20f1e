"""Behaviour weights by name, as a configuration file writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agentrl.algorithms.behaviour.weights import BehaviourWeight
from agentrl.algorithms.filters.standard import Mismatch, RejectionWeight
from agentrl.algorithms.slots import Weight
from agentrl.errors import unknown_name

PRESETS: dict[str, tuple[Weight, ...]] = {
    "none": (),
    "token-tis": (BehaviourWeight(level="token", action="truncate", cap=2.0),),
    "sequence-tis": (BehaviourWeight(level="sequence", action="truncate", cap=2.0),),
    "geometric-tis": (BehaviourWeight(level="mean", action="truncate", cap=2.0),),
    "icepop": (BehaviourWeight(level="token", action="mask", cap=5.0, floor=0.5),),
    "sequence-mis": (BehaviourWeight(level="sequence", action="mask", cap=3.0),),
    "geometric-mis": (BehaviourWeight(level="mean", action="mask", cap=5.0),),
    "rejection": (RejectionWeight((Mismatch(level="seq_mean", kind="k3", high=0.01),)),),
}
"""Source of the bounds: caps 2 and [0.5, 5] are verl's, 3 huggingface/trl's, the geometric mean and
its 5 inclusionAI/AReaL's; the limit of `rejection` is our choice."""


def behaviour_weights(choice: str | Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return behaviour weights as a configuration file writes them.

    Args:
        choice: a name in `PRESETS`; or the fields of `BehaviourWeight`, for example
            `{level: token, cap: 3.0}`.

    Raises:
        UnknownNameError: no such preset or field; the message holds the nearest.
    """
    if isinstance(choice, str):
        if choice not in PRESETS:
            raise unknown_name("behaviour weight", choice, PRESETS)
        return PRESETS[choice]
    known = {item.name for item in fields(BehaviourWeight)}
    for key in choice:
        if key not in known:
            raise unknown_name("field of `behaviour`", key, known)
    return (BehaviourWeight(**choice),)
