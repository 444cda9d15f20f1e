"""The entropy-performance law: exact recovery, what it predicts, and when it warns."""

import math

import numpy as np
import pytest

from agentrl.analysis.entropy_law import EntropyLaw, early_and_full, fit_entropy_law
from agentrl.errors import DataError


def test_points_on_the_curve_give_back_its_numbers():
    law = EntropyLaw(a=0.2, b=0.7)
    entropy = [1.1, 0.8, 0.5, 0.1]
    fitted = fit_entropy_law(entropy, law.predict(entropy))
    assert (fitted.a, fitted.b) == pytest.approx((0.2, 0.7))
    assert fitted.ceiling == pytest.approx(0.5)


def test_two_points_by_hand():
    # x = exp(H) is 2 and 1, R is 0.1 and 0.4: slope -0.3, so a = 0.3 and b = 0.7.
    fitted = fit_entropy_law([math.log(2), 0.0], [0.1, 0.4])
    assert (fitted.a, fitted.b) == pytest.approx((0.3, 0.7))


def test_the_slope_is_that_of_the_normal_equations():
    rng = np.random.default_rng(0)
    h, r = rng.uniform(0, 1, 30), rng.uniform(0, 1, 30)
    design = np.stack([-np.exp(h), np.ones(30)], axis=1)
    a, b = np.linalg.solve(design.T @ design, design.T @ r)
    fitted = fit_entropy_law(h, r)
    assert (fitted.a, fitted.b) == pytest.approx((a, b))


@pytest.mark.parametrize("entropy", [[], [0.5], [0.5, 0.5, 0.5]])
def test_without_two_entropies_there_is_no_law(entropy):
    with pytest.raises(DataError, match="two different entropies"):
        fit_entropy_law(entropy, [0.1] * len(entropy))


def test_only_the_first_points_make_the_early_fit():
    h = np.linspace(1.0, 0.05, 40)
    r = EntropyLaw(0.2, 0.7).predict(h)
    r[6:] += 5.0
    fit = early_and_full(h, r, fraction=0.15)
    assert fit.window == 6
    assert (fit.early.a, fit.early.b) == pytest.approx((0.2, 0.7))
    assert fit.full.b > 3
    assert fit.rmse_future == pytest.approx(5.0)
    assert fit.drift == tuple(range(6, 40))


def test_the_window_holds_at_least_five_points_and_no_more_than_there_are():
    h = np.linspace(1.0, 0.5, 12)
    assert early_and_full(h, h, 0.15).window == 5
    assert early_and_full(h[:4], h[:4], 0.15).window == 4
    assert math.isnan(early_and_full(h[:4], h[:4], 0.15).rmse_future)


def test_exact_points_raise_no_alarm_over_rounding():
    h = np.linspace(1.2, 0.02, 60)
    assert early_and_full(h, EntropyLaw(0.12, 0.55).predict(h)).drift == ()


def test_r2_is_the_explained_share_of_the_early_variance():
    h = np.log([1.0, 2.0, 3.0, 4.0, 5.0])
    noise = np.array([0.1, -0.1, 0.0, -0.1, 0.1])  # at right angles to x and to 1
    fit = early_and_full(h, 10 - np.exp(h) + noise)
    assert fit.r2_early == pytest.approx(1 - 0.04 / (10 + 0.04))
    assert fit.rmse_early == pytest.approx(math.sqrt(0.04 / 5))
