"""HAPO's log entropy statistic and the temperature that follows it."""

from __future__ import annotations

import math

import pytest
import torch

from agentrl.algorithms import get
from agentrl.algorithms.ratios.log_entropy import log_entropy_statistics, scaled_log_entropy
from agentrl.algorithms.strategies import HapoSampler, RolloutStrategy
from agentrl.algorithms.strategies.hapo_sampler import SamplerStatistics
from agentrl.errors import ConfigError

LOGS = [[-2.0, 0.5, 1.0], [0.0, -1.0, 7.0]]
VALID = torch.tensor([[True, True, True], [True, True, False]])


def entropies(hidden=7.0):
    log = torch.tensor(LOGS, dtype=torch.float64)
    return log.masked_fill(~VALID, hidden).exp()


def test_statistics_by_hand():
    found = log_entropy_statistics(entropies(), VALID, pivot=0.5)
    assert found.median.item() == 0
    std = math.sqrt((4 + 0.25 + 1 + 0 + 1) / 5)
    assert found.std.item() == pytest.approx(std)
    assert found.scale_above.item() == pytest.approx(std / 1)
    assert found.scale_below.item() == pytest.approx(std / 2)
    scaled = scaled_log_entropy(entropies(), found)
    assert scaled[VALID].tolist() == pytest.approx([-1, 0.5, 1, 0, -0.5])
    official = scaled_log_entropy(entropies(), found, "official")
    assert official[VALID].tolist() == pytest.approx([1, 0.5, 1, 0, 0.5])


@pytest.mark.parametrize(("pivot", "median"), [(0.0, -2.0), (0.8, 0.5), (0.95, 1.0), (1.0, 1.0)])
def test_the_quantile_is_the_nearest_element(pivot, median):
    found = log_entropy_statistics(entropies(), VALID, pivot=pivot)
    assert found.median.item() == pytest.approx(median)


def test_masked_entropies_change_nothing():
    one = log_entropy_statistics(entropies(), VALID)
    other = log_entropy_statistics(entropies(hidden=float("nan")), VALID)
    assert one == other
    scaled = scaled_log_entropy(entropies(hidden=float("nan")), other)
    assert scaled[VALID].isfinite().all()


def test_equal_and_zero_and_absent_entropies_are_finite():
    for values, valid in (
        (torch.ones(1, 4), torch.ones(1, 4, dtype=torch.bool)),
        (torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool)),
        (torch.ones(1, 4), torch.zeros(1, 4, dtype=torch.bool)),
    ):
        found = log_entropy_statistics(values, valid)
        assert scaled_log_entropy(values, found).tolist() == [[0] * 4]


def test_nothing_has_a_gradient():
    values = entropies().requires_grad_()
    found = log_entropy_statistics(values, VALID)
    assert not found.std.requires_grad
    assert not scaled_log_entropy(values, found).requires_grad


def statistics():
    return log_entropy_statistics(entropies(), VALID, pivot=0.5)


def test_temperature_rises_and_falls_with_entropy():
    """Two equally likely tokens have ln H = ln ln 2; four have ln ln 4."""
    logits = torch.full((3, 8), -math.inf, dtype=torch.float64)
    logits[0, :2] = logits[1, :4] = 0.3
    logits[2, 0] = 5.0  # certain: entropy 0
    found = HapoSampler(tau=0.1).temperature(logits, statistics(), base=2.0)
    low = math.log(math.log(2)) / 2
    high = math.log(math.log(4))
    expected = [2 * (1 + 0.1 * low), 2 * (1 + 0.1 * high), 2 * 0.9]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    official = HapoSampler(tau=0.1, sign="official").temperature(logits, statistics(), base=2.0)
    expected = [2 * (1 - 0.1 * low), 2 * (1 + 0.1 * high), 2 * 1.1]
    assert official.tolist() == pytest.approx(expected, rel=1e-5)


def test_without_statistics_the_temperature_stays():
    logits = torch.randn(2, 3, 5)
    assert (
        HapoSampler().temperature(logits, None, base=0.7).tolist() == [[pytest.approx(0.7)] * 3] * 2
    )


def test_it_is_a_rollout_strategy_with_checked_settings():
    assert isinstance(HapoSampler(), RolloutStrategy)
    for settings in ({"tau": -0.1}, {"tau": 1.0}, {"sign": "other"}, {"epsilon": 0}):
        with pytest.raises(ConfigError):
            HapoSampler(**settings)
    with pytest.raises(ConfigError, match="entropy_pivot"):
        log_entropy_statistics(entropies(), VALID, pivot=1.2)
    with pytest.raises(ConfigError, match="hapo_sign"):
        scaled_log_entropy(entropies(), statistics(), "both")


def test_any_method_samples_with_it_and_gets_its_statistics():
    assert get("grpo", rollout="hapo").controllers == (SamplerStatistics(),)
    own = get("hapo", entropy_pivot=0.5, rollout={"name": "hapo", "tau": 0.2})
    assert own.controllers == (SamplerStatistics(pivot=0.5),)
    assert get("hapo", rollout="independent").controllers == ()
    clipped = get("cispo", rollout="arpo")
    assert clipped.controllers == get("cispo").controllers
