"""Rollout correction: verl's behaviour weights and rejection masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.behaviour.weights import BehaviourWeight
from agentrl.algorithms.filters.standard import Mismatch, RejectMismatch
from tests.golden.case import Adapter, Case, Result


def rows(case: Case) -> Batch:
    """Build a batch of masks and log-probs."""
    mask = case.tensor("response_mask")
    ids = torch.arange(len(mask))
    return Batch(
        mask_BT=mask,
        groups_B=ids,
        episodes_B=ids,
        returns_B=torch.zeros(len(mask)),
        turns_BT=torch.zeros_like(mask).long(),
        stats={
            Stat.OLD_LOGPROBS: case.tensor("old_log_prob"),
            Stat.ROLLOUT_LOGPROBS: case.tensor("rollout_log_prob"),
        },
    )


def weight_slot(config: Mapping[str, Any]) -> BehaviourWeight:
    """Read `rollout_is`: one number truncates, "low_high" masks."""
    threshold = config["rollout_is_threshold"]
    normalise = bool(config.get("rollout_is_batch_normalize", False))
    level = config["rollout_is"]
    if isinstance(threshold, str) and "_" in threshold:
        low, high = map(float, threshold.split("_"))
        return BehaviourWeight(level=level, action="mask", cap=high, floor=low, normalise=normalise)
    return BehaviourWeight(level=level, cap=float(threshold), normalise=normalise)


def weights_of(config: Mapping[str, Any], batch: Batch) -> Tensor | None:
    """Return the behaviour weights of a batch, or None if the settings ask for none."""
    if not config.get("rollout_is"):
        return None
    slot = weight_slot(config)
    weights = slot.weights(batch)
    if not slot.normalise:
        return weights
    return weights / slot.average(batch)


def keep_tests(config: Mapping[str, Any]) -> RejectMismatch:
    """Read `rollout_rs`: comma-joined tests; k1's bounds act on the inverse ratio."""
    names = config["rollout_rs"].split(",")
    limits = str(config["rollout_rs_threshold"]).split(",")
    limits = limits * len(names) if len(limits) == 1 else limits
    return RejectMismatch(tuple(map(_test, names, limits)))


def _test(name: str, limit: str) -> Mismatch:
    level, _, kind = name.strip().rpartition("_")
    if kind != "k1":
        return Mismatch(level=level, kind=kind, high=float(limit))
    parts = [float(part) for part in limit.split("_")]
    low, high = parts if len(parts) == 2 else (1 / parts[0], parts[0])
    return Mismatch(level=level, kind=kind, low=1 / high, high=1 / low)


def correction(case: Case) -> Result:
    """Weights see the original mask; rejected tokens leave the mask."""
    batch, outputs = rows(case), {}
    weights = weights_of(case.config, batch)
    if weights is not None:
        outputs["weights"] = weights
    if case.config.get("rollout_rs"):
        outputs["mask"] = keep_tests(case.config)(batch).mask_BT
    return Result(outputs)


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("rollout_is", "weights"): correction,
    ("rollout_rs", "mask"): correction,
    ("rollout_corr", "combined"): correction,
}
