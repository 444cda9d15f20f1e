"""Choices of tokens as values, and the weights that use them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Normaliser, Stat, estimate_advantages, get, policy_loss, prepare
from agentrl.algorithms.loss import make_view
from agentrl.algorithms.weights.rankings import Band, LowestFraction, TopFraction, TopQuantile
from agentrl.algorithms.weights.scores import Covariance, EntropyInfluence
from agentrl.algorithms.weights.selectors import (
    All,
    Less,
    Negative,
    Positive,
    RowQuantile,
    Unclipped,
)
from agentrl.algorithms.weights.tokens import Decreasing, Drop, KeepOnly
from agentrl.errors import ConfigError
from tests.algorithms.conftest import build, draws

SCORE = Stat.OLD_ENTROPY


@pytest.fixture
def view():
    algorithm = get("grpo")
    batch = estimate_advantages(algorithm, build())
    return make_view(algorithm, batch, Normaliser.of(batch.mask_BT))


def values(view, chosen_BT, stat=SCORE):
    return sorted(view.stat(stat)[chosen_BT].tolist())


def test_top_and_lowest_are_the_ends_of_the_sorted_valid_tokens(view):
    every = values(view, view.valid_BT)
    count = int(0.3 * len(every))
    assert values(view, TopFraction(SCORE, 0.3).choose(view)) == every[-count:]
    assert values(view, LowestFraction(SCORE, 0.3).choose(view)) == every[:count]


def test_at_least_raises_and_none_below_empties(view):
    assert TopFraction(SCORE, 0.0).choose(view).sum() == 1
    assert TopFraction(SCORE, 0.0, at_least=3).choose(view).sum() == 3
    assert LowestFraction(SCORE, 0.04, at_least=0, none_below=2).choose(view).sum() == 0
    assert LowestFraction(SCORE, 0.06, at_least=0, none_below=2).choose(view).sum() == 2


def test_within_restricts_what_is_counted_and_and_intersects(view):
    negative = Negative().choose(view)
    inside = LowestFraction(SCORE, 0.5, within=Negative()).choose(view)
    assert inside.sum() == int(0.5 * negative.sum())
    assert not (inside & ~negative).any()
    both = LowestFraction(SCORE, 0.5) & Negative()
    expected = LowestFraction(SCORE, 0.5).choose(view) & negative
    assert (both.choose(view) == expected).all()
    assert (both.choose(view, both.prepare(view)) == expected).all()
    assert both.requires == both.prepare_requires == {SCORE}
    level = replace(view, advantages_BT=torch.zeros_like(view.advantages_BT))
    assert not Negative().choose(level).any()
    assert not Positive().choose(level).any()


def test_masked_tokens_are_never_chosen(view):
    selectors = (
        All(), Negative(), Positive(), Unclipped(), Less(SCORE, Stat.ENTROPY),
        RowQuantile(SCORE, 0.0), TopFraction(SCORE, 1.0), TopQuantile(SCORE, 1.0),
        LowestFraction(SCORE, 1.0), Band(score=SCORE, low=-1.0, high=99.0),
    )  # fmt: skip
    for selector in selectors:
        assert not selector.choose(view)[~view.valid_BT].any(), selector
    assert (Band(score=SCORE, low=-1.0, high=99.0).choose(view) == view.valid_BT).all()


def test_row_quantile_looks_at_its_own_row(view):
    chosen_BT = RowQuantile(SCORE, 0.8).choose(view)
    for row, valid in enumerate(view.valid_BT):
        numbers = view.stat(SCORE)[row][valid]
        expected = numbers > torch.quantile(numbers, 0.8) if len(numbers) else numbers > 0
        assert (chosen_BT[row][valid] == expected).all()


def test_top_quantile_is_torchs_interpolated_quantile(view):
    numbers = view.stat(SCORE)[view.valid_BT]
    for fraction in (0.0, 0.2, 0.37, 1.0):
        expected = int((numbers >= torch.quantile(numbers, 1 - fraction)).sum())
        assert TopQuantile(SCORE, fraction).choose(view).sum() == expected


def test_a_band_takes_its_quota_from_candidates_only(view):
    band = Band(score=SCORE, low=0.2, high=1.5, fraction=0.1)
    candidates_BT = replace(band, fraction=None).choose(view)
    quota = int(0.1 * view.valid_BT.sum())
    picks = [band.choose(replace(view, generator=draws())) for _ in range(2)]
    assert (picks[0] == picks[1]).all()
    assert picks[0].sum() == quota
    assert not (picks[0] & ~candidates_BT).any()
    others = (torch.Generator().manual_seed(seed) for seed in range(1, 9))
    assert any((band.choose(replace(view, generator=o)) != picks[0]).any() for o in others)
    first = replace(band, order="first").choose(view).flatten().nonzero().flatten()
    assert (first == candidates_BT.flatten().nonzero().flatten()[:quota]).all()


def test_unclipped_tokens_are_those_the_clip_leaves_a_gradient(evaluate):
    algorithm = replace(get("grpo"), regularisers=())
    batch = estimate_advantages(algorithm, build())
    view = make_view(algorithm, batch, Normaliser.of(batch.mask_BT))
    _, gradients = evaluate(algorithm, batch)
    moving_BT = gradients[Stat.LOGPROBS] != 0
    assert (Unclipped().choose(view) & (batch.advantages != 0) == moving_BT).all()


def test_covariance_is_zero_for_equal_advantages_and_matches_a_loop(view):
    flat = [(a, b) for a, b in zip(
        view.advantages_BT[view.valid_BT].tolist(),
        view.stat(Stat.LOGPROBS)[view.valid_BT].tolist(), strict=True,
    )]  # fmt: skip
    mean_a, mean_b = (sum(side) / len(flat) for side in zip(*flat, strict=True))
    expected = torch.tensor([(a - mean_a) * (b - mean_b) for a, b in flat], dtype=torch.float64)
    torch.testing.assert_close(Covariance()(view)[view.valid_BT], expected)
    equal = replace(view, advantages_BT=view.valid_BT.double())
    assert Covariance()(equal)[view.valid_BT].abs().max() < 1e-7


def test_entropy_influence_of_one_token(view):
    row, column = 0, 2
    p = view.stat(Stat.LOGPROBS)[row, column].exp()
    old = view.stat(Stat.OLD_LOGPROBS)[row, column].exp()
    entropy = view.stat(Stat.OLD_ENTROPY)[row, column]
    expected = (view.advantages_BT[row, column] / old * p * (1 - p) * (p.log() + entropy)).abs()
    torch.testing.assert_close(EntropyInfluence()(view)[row, column], expected)


@pytest.mark.parametrize("shape", ["linear", "exp"])
def test_decreasing_weights_fall_from_high_to_low(view, shape):
    weight = Decreasing(score=SCORE, low=0.8, high=1.2, shape=shape)
    view = replace(view, prepared={weight: weight.prepare(view)})
    weights = weight(view)[view.valid_BT]
    order = torch.argsort(view.stat(SCORE)[view.valid_BT])
    assert (weights[order].diff() <= 0).all()
    assert weights.min() == pytest.approx(0.8)
    if shape == "linear":
        assert weights.max() == pytest.approx(1.2)
    else:
        top = view.stat(SCORE)[view.valid_BT].max()
        expected = torch.exp(torch.log(torch.tensor(0.8)) * view.stat(SCORE) / top)
        torch.testing.assert_close(weights, expected[view.valid_BT])


def test_equal_scores_weigh_the_midpoint(view):
    weight = Decreasing(score=no_score, low=0.5, high=1.1)
    view = replace(view, prepared={weight: weight.prepare(view)})
    assert (weight(view) == 0.8).all()


def no_score(view):
    return torch.zeros_like(view.advantages_BT)


no_score.requires = frozenset()


def test_renormalised_weights_average_over_the_kept_tokens(view):
    selector = TopFraction(SCORE, 0.25)
    weight = KeepOnly(selector=selector, renormalise=True)
    view = replace(view, prepared={weight: weight.prepare(view)})
    kept_BT, numbers_BT = selector.choose(view), torch.rand_like(view.advantages_BT)
    mean = (weight(view) * numbers_BT)[view.valid_BT].mean()
    torch.testing.assert_close(mean, numbers_BT[kept_BT].mean(), rtol=1e-8, atol=0)


def test_statistics_follow_stat_scope(make_batch):
    """Over the whole step one token is chosen; over each micro-batch by itself, one in each."""
    algorithm = get("kl_cov", fraction=0.0)
    batch = estimate_advantages(algorithm, make_batch())
    normaliser = Normaliser.of(batch.mask_BT)
    parts = [batch.rows(index) for index in torch.arange(8).split(2)]

    def chosen(prepared):
        losses = (policy_loss(algorithm, part, normaliser, prepared=prepared) for part in parts)
        return sum(bool(loss.metrics["kl_old_selected"].total > 0) for loss in losses)

    assert chosen(prepare(algorithm, batch)) == 1
    assert chosen(None) == 4


@pytest.mark.parametrize(
    ("build_one", "words"),
    [
        (lambda: TopFraction(SCORE, 1.5), "fraction"),
        (lambda: RowQuantile(SCORE, -0.1), "quantile"),
        (lambda: Band(score=SCORE, low=2.0, high=1.0), "band"),
        (lambda: Band(score=SCORE, low=0.0, high=1.0, order="best"), "random, first"),
        (lambda: Decreasing(low=1.3, high=1.2), "weight_high"),
        (lambda: Decreasing(low=1.3, shape="exp"), "weight_low"),
    ],
)
def test_impossible_settings_are_refused(build_one, words):
    with pytest.raises(ConfigError, match=words):
        build_one()


def test_a_dropped_token_keeps_the_normaliser(make_batch, evaluate):
    plain = replace(get("grpo"), regularisers=(), aggregation=get("dapo").aggregation)
    batch = estimate_advantages(plain, make_batch())
    selector = TopFraction(SCORE, 0.3)
    _, gradients = evaluate(plain, batch)
    _, others = evaluate(replace(plain, token_weights=(Drop(selector),)), batch)
    view = make_view(plain, batch, Normaliser.of(batch.mask_BT))
    expected = gradients[Stat.LOGPROBS].masked_fill(selector.choose(view), 0.0)
    torch.testing.assert_close(others[Stat.LOGPROBS], expected)
