"""The best of many scores."""

from __future__ import annotations

import math

import numpy as np

from agentrl.envs.arrays import Array


def best(scores: Array, k: int, above: float = -math.inf) -> list[int]:
    """Return the places of the k highest scores above a limit, highest first; ties by place."""
    places = np.flatnonzero(scores > above)
    values = scores[places]
    if k < len(values):
        bar = np.partition(values, -k)[-k]
        places, values = places[values >= bar], values[values >= bar]
    order = np.argsort(-values, kind="stable")[:k]
    found: list[int] = places[order].tolist()
    return found
