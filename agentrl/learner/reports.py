"""What the learner adds to an algorithm's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from agentrl.algorithms import Metric
from agentrl.learner.packing import MicroBatch

_ADDED = ("tokens/trained", "tokens/unique", "tokens/separate", "tokens/effective", "skipped")


def sizes(micro: MicroBatch, valid_BT: Tensor) -> dict[str, Metric]:
    """Return token counts: trained, forwarded, and forwarded had nothing been shared."""
    counts = {
        "tokens/trained": valid_BT.sum(),
        "tokens/unique": torch.tensor(len(micro.ids_N)),
        "tokens/separate": torch.tensor(micro.separate_tokens),
    }
    return {name: Metric.sum(count) for name, count in counts.items()}


def merge(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return means over the optimiser steps of an update; counts are added up."""
    merged = {}
    for name in dict.fromkeys(key for report in reports for key in report):
        values = [report[name] for report in reports if name in report]
        merged[name] = sum(values) if name in _ADDED else sum(values) / len(values)
    return merged | {"updates": len(reports) - merged.get("skipped", 0.0)}
