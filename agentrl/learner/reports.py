"""What the learner adds to an algorithm's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from agentrl.algorithms import Batch, Metric, Stat
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


def mismatch(batch: Batch) -> Tensor:
    """Return |learner's log-prob - engine's log-prob| [B, T] in nats.

    It is 0 where masked, unknown, or sampled at another temperature on purpose.
    """
    if Stat.ROLLOUT_LOGPROBS not in batch.stats:
        return torch.zeros_like(batch.mask_BT)
    gap_BT = batch.stat(Stat.LOGPROBS).detach() - batch.stat(Stat.ROLLOUT_LOGPROBS)
    gap_BT = torch.where(batch.valid_BT, gap_BT.abs(), 0.0)
    if batch.sources_B is None:
        return gap_BT
    return torch.where(batch.sources_B.unsqueeze(-1) == 0, gap_BT, 0.0)


def merge(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return means over the optimiser steps of an update; counts are added up."""
    merged = {}
    for name in dict.fromkeys(key for report in reports for key in report):
        values = [report[name] for report in reports if name in report]
        merged[name] = sum(values) if name in _ADDED else sum(values) / len(values)
    return merged | {"updates": len(reports) - merged.get("skipped", 0.0)}
