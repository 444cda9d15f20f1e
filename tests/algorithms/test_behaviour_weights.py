"""Corrections for the engine's policy: nothing without a mismatch, by hand with one, finite."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from agentrl.algorithms import Batch, Normaliser, Stat, estimate_advantages, get, names, policy_loss
from agentrl.algorithms.behaviour.presets import PRESETS
from agentrl.errors import ConfigError
from tests.algorithms.conftest import build, value_and_gradients

NAN, INF = math.nan, math.inf
RATIOS = [[1.5, 3.0], [0.5, 1.0]]
GEOMETRIC = [math.sqrt(4.5), math.sqrt(0.5)]
WEIGHTS = {
    "none": [[1, 1], [1, 1]],
    "token-tis": [[1.5, 2], [0.5, 1]],  # at most 2
    "sequence-tis": [[2, 2], [0.5, 0.5]],  # products 4.5 and 0.5, at most 2
    "geometric-tis": [[2, 2], [GEOMETRIC[1]] * 2],
    "icepop": [[1.5, 3], [0.5, 1]],  # all inside [0.5, 5]
    "sequence-mis": [[0, 0], [0.5, 0.5]],  # 4.5 is above 3
    "geometric-mis": [[GEOMETRIC[0]] * 2, [GEOMETRIC[1]] * 2],  # at most 5
    "rejection": [[0, 0], [0, 0]],  # mean k3 0.50 and 0.10, at most 0.01
}


SETTINGS = {"bnpo": {"high": 2.0}, "passk": {"component": "success", "k": 2}}
"""For the returns of the batch, which lie in [0, 2] and are not all 0 or 1."""


def two_rows(ratios: Any, **fields: Any) -> Batch:
    """Rows with advantage 1 and -1, current = old policy, and given ratios old / engine."""
    ratio_BT = torch.tensor(ratios, dtype=torch.float64)
    old_BT = torch.full_like(ratio_BT, -1.0)
    sign_B1 = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    return Batch(
        mask_BT=torch.ones_like(ratio_BT),
        groups_B=torch.tensor([0, 0]),
        episodes_B=torch.tensor([0, 1]),
        returns_B=torch.tensor([1.0, 0.0]),
        turns_BT=torch.zeros_like(ratio_BT).long(),
        advantages_BT=sign_B1.expand_as(ratio_BT),
        stats={
            Stat.LOGPROBS: old_BT.clone(),
            Stat.OLD_LOGPROBS: old_BT,
            Stat.ROLLOUT_LOGPROBS: old_BT - ratio_BT.log(),
        },
        **fields,
    )


def corrected(preset: str) -> Any:
    return get("grpo", kl_coefficient=0.0, aggregation="token-mean", behaviour=preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_mismatch_changes_loss_and_gradient_as_worked_out_by_hand(preset: str) -> None:
    value, gradients = value_and_gradients(corrected(preset), two_rows(RATIOS))
    weight_BT = torch.tensor(WEIGHTS[preset], dtype=torch.float64)
    slope_BT = weight_BT * torch.tensor([[-1.0], [1.0]], dtype=torch.float64) / 4
    torch.testing.assert_close(value, slope_BT.sum())
    torch.testing.assert_close(gradients[Stat.LOGPROBS], slope_BT)


def test_every_correction_was_worked_out_by_hand() -> None:
    assert WEIGHTS.keys() == PRESETS.keys()


def takes_weights(name: str) -> bool:
    try:
        get(name, behaviour="token-tis")
    except ConfigError:
        return False
    return not get(name).behaviour


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", [name for name in names() if takes_weights(name)])
def test_without_a_mismatch_nothing_changes(name: str, preset: str) -> None:
    options = SETTINGS.get(name, {})
    plain, weighted = get(name, **options), get(name, **options, behaviour=preset)
    batch = build(requires=weighted.requires)
    batch = batch.with_stats({Stat.ROLLOUT_LOGPROBS: batch.stat(Stat.OLD_LOGPROBS).clone()})
    batch = estimate_advantages(plain, batch)
    value, gradients = value_and_gradients(plain, batch)
    other, others = value_and_gradients(weighted, batch)
    torch.testing.assert_close(other, value, rtol=1e-12, atol=1e-14)
    for statistic, gradient in gradients.items():
        torch.testing.assert_close(others[statistic], gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("preset", ["token-tis", "sequence-tis", "geometric-tis", "icepop"])
def test_an_unknown_log_prob_leaves_the_token_uncorrected(preset: str) -> None:
    known = value_and_gradients(corrected(preset), two_rows([[1.5, 1.0], [0.5, 1.0]]))
    unknown = value_and_gradients(corrected(preset), two_rows([[1.5, NAN], [0.5, 1.0]]))
    torch.testing.assert_close(unknown, known)


@pytest.mark.parametrize("preset", PRESETS)
def test_infinite_log_probs_give_finite_weights(preset: str) -> None:
    batch = two_rows([[INF, 0.0], [0.0, 1.0]])
    loss = policy_loss(corrected(preset), batch, Normaliser.of(batch.mask_BT))
    assert torch.isfinite(loss.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_rows_sampled_at_another_temperature_on_purpose_keep_their_weight(preset: str) -> None:
    batch = two_rows([[1.0, 1.0], [0.5, 3.0]], sources_B=torch.tensor([0, 1]))
    plain = value_and_gradients(corrected("none"), batch)
    torch.testing.assert_close(value_and_gradients(corrected(preset), batch), plain)
    ordinary = replace(batch, sources_B=None)
    if preset != "none":
        value, _ = value_and_gradients(corrected(preset), ordinary)
        assert not torch.isclose(value, plain[0])
