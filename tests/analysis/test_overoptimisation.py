"""Reward against distance: the fit, the distance, and the rule that stops."""

import math

import numpy as np
import pytest

from agentrl.analysis.overoptimisation import (
    EarlyStop,
    RewardCurve,
    early_stop,
    fit_reward_curve,
    path_length,
    slope,
)
from agentrl.errors import DataError


@pytest.mark.parametrize("unit", [1.0, 1e-4, 50.0])
def test_points_on_a_curve_give_it_back_whatever_the_unit(unit):
    curve = RewardCurve(0.3, 1.2 / unit, 0.8 / unit**2)
    d = np.array([0.0, 0.4, 0.9, 1.5]) * unit
    fitted = fit_reward_curve(d, curve.at(d))
    assert fitted.start == pytest.approx(curve.start)
    assert fitted.alpha == pytest.approx(curve.alpha)
    assert fitted.beta == pytest.approx(curve.beta)
    assert fitted.peak == pytest.approx(0.75 * unit)


def test_the_peak_is_the_highest_point():
    curve = RewardCurve(0.1, 2.0, 0.5)
    assert curve.peak == 2.0
    assert curve.at(2.0) == pytest.approx(0.1 + 2.0)
    assert curve.at(2.0) > max(curve.at(1.9), curve.at(2.1))
    assert RewardCurve(0, 1, -1).peak == math.inf
    assert RewardCurve(0, -1, 1).peak == 0.0


def test_a_fit_needs_three_distances():
    with pytest.raises(DataError, match="three different distances"):
        fit_reward_curve([0.0, 0.1, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4])


def test_roots_of_divergences_add_up_and_negative_estimates_count_nothing():
    assert path_length([0.01, -0.5, 0.04]).tolist() == pytest.approx([0.1, 0.1, 0.3])


def test_a_slope_by_hand():
    assert slope([1, 2, 4]) == pytest.approx(1.5)


def test_the_rule_fires_where_the_proxy_rises_while_the_held_out_value_falls():
    proxy = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    heldout = [0.1, 0.3, 0.5, 0.6, 0.55, 0.5, 0.4]
    # At index 5 the last three held-out values fall: 0.6, 0.55, 0.5.
    assert early_stop(proxy, heldout, patience=3, margin=0.09) == EarlyStop(5, 3)


@pytest.mark.parametrize(
    ("proxy", "heldout", "margin"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 0.0),  # both rise
        ([4, 3, 2, 1], [4, 3, 2, 1], 0.0),  # both fall
        ([1, 2, 3, 4], [0.5, 0.5, 0.5, 0.49], 0.02),  # by too little
        ([1, 2], [2, 1], 0.0),  # too short
    ],
)
def test_else_it_does_not_fire(proxy, heldout, margin):
    assert early_stop(proxy, heldout, patience=3, margin=margin) is None


def test_what_comes_later_does_not_matter_to_the_rule():
    assert early_stop([1, 2, 3, 4, 5], [0.1, 0.6, 0.5, 0.4, 0.9], patience=3) == EarlyStop(3, 1)
