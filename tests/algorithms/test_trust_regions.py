"""Hand-computed cases of surrogates, searched bounds and filters of the policy-loss family."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Normaliser, Stat, estimate_advantages, get, prepare
from agentrl.algorithms.filters.tokens import ClipByBatch, ClipByVocabulary, LimitSecondMoment
from agentrl.algorithms.loss import make_view
from agentrl.algorithms.ratios.adaptive_bounds import BalancedBounds
from agentrl.algorithms.ratios.proximal import proximal_logprobs
from agentrl.algorithms.statistics import MeanDiscriminator
from agentrl.errors import ConfigError
from tests.algorithms.conftest import build


def estimated(algorithm, **changes):
    return estimate_advantages(algorithm, build(requires=algorithm.requires, **changes))


def single(algorithm, tokens):
    """Return a batch of one row of tokens (advantage, old probability, probability)."""
    batch = estimated(algorithm).rows(torch.tensor([0]))
    advantage, old, now = (torch.tensor([column]).double() for column in zip(*tokens, strict=True))
    width = len(tokens)
    batch = batch.mapped(lambda values: values[:, :width] if values.dim() == 2 else values)
    stats = {Stat.LOGPROBS: now.log(), Stat.OLD_LOGPROBS: old.log()}
    return replace(
        batch, mask_BT=torch.ones(1, width).double(), advantages_BT=advantage
    ).with_stats(stats)


def view_of(algorithm, batch):
    normaliser = Normaliser.of(batch.mask_BT)
    return make_view(algorithm, batch, normaliser, prepared=prepare(algorithm, batch))


def slopes(evaluate, algorithm, tokens):
    _, gradients = evaluate(algorithm, single(algorithm, tokens))
    return (gradients[Stat.LOGPROBS][0] * len(tokens)).tolist()


def test_dppo_bounds_the_change_of_probability(evaluate):
    dppo = get("dppo", bound_low=0.1, bound_high=0.2)
    tokens = [
        (1.0, 0.5, 0.69), (1.0, 0.5, 0.71), (1.0, 0.5, 0.1),
        (-1.0, 0.5, 0.41), (-1.0, 0.5, 0.39), (-1.0, 0.5, 0.9), (1.0, 0.001, 0.1),
    ]  # fmt: skip
    expected = [-0.69 / 0.5, 0.0, -0.2, 0.41 / 0.5, 0.0, 1.8, -20.0]
    assert slopes(evaluate, dppo, tokens) == pytest.approx(expected)


def test_dppo_with_kl_lets_moves_back_pass(evaluate):
    dppo = get("dppo", divergence="kl", bound_low=0.01, bound_high=0.05)
    near = 0.5 * math.log(0.5 / 0.6) + 0.5 * math.log(0.5 / 0.4)
    assert 0.01 < near < 0.05
    tokens = [(1.0, 0.5, 0.6), (-1.0, 0.5, 0.4), (1.0, 0.5, 0.9), (1.0, 0.5, 0.1)]
    assert slopes(evaluate, dppo, tokens) == pytest.approx([-1.2, 0.0, 0.0, -0.2])


def test_dro_pulls_back_in_proportion_to_the_log_ratio(evaluate):
    dro = get("dro", beta=0.5)
    got = slopes(evaluate, dro, [(2.0, 0.5, 0.5), (0.0, 0.2, 0.4), (-1.0, 0.4, 0.2)])
    assert got == pytest.approx([-2.0, 0.5 * math.log(2), 1.0 - 0.5 * math.log(2)])


def test_vespo_weighs_a_row_by_its_whole_ratio(evaluate):
    vespo = get("vespo")
    ratio = 1.2 * 0.5
    got = slopes(evaluate, vespo, [(1.0, 0.5, 0.6), (-1.0, 0.4, 0.2)])
    ahead = math.exp(3) * ratio**2 * math.exp(-3 * ratio)
    behind = math.exp(2) * ratio**3 * math.exp(-2 * ratio)
    assert got == pytest.approx([-ahead, behind])
    assert slopes(evaluate, vespo, [(1.0, 0.5, 0.5)]) == pytest.approx([-1.0])


TOKENS = [(1.0, 0.5, 0.5), (1.0, 0.25, 0.5), (-1.0, 0.5, 0.35), (-2.0, 0.5, 0.5)]


@pytest.mark.parametrize(
    ("count_clipped", "target", "expected"),
    [
        (False, 0.3, (0.6, 1.2)),  # q = 1 / (0.7 + 2)
        (False, 0.45, (0.75, 1.2)),  # 0.7 is clipped from 0.75 on, q = 1 / 2
        (False, 1.0, (0.9, 2.2)),  # the ratio 2 counts from there on: (1 + 2) / 2
        (False, 9.0, (0.9, 3.0)),
        (True, 0.8, (0.6, 1.2)),  # (1 + 1.2) / 2.7
        (True, 0.82, (0.9, 1.45)),  # raising the lower bound only makes it worse: 2.45 / 2.9
    ],
)
def test_bapo_searches_the_lower_bound_first(count_clipped, target, expected):
    share = target / (1 + target)
    settings = {"low_step": 0.15, "high_step": 0.25, "count_clipped": count_clipped}
    bapo = get("bapo", positive_share=share, **settings)
    view = view_of(bapo, single(bapo, TOKENS))
    assert tuple(float(bound) for bound in view.bounds) == pytest.approx(expected)


def test_bapo_balance_rises_with_either_bound_unless_clipped_tokens_count():
    bapo = get("bapo")
    view = view_of(bapo, estimated(bapo, spread=0.8))
    steps = [0.6 + 0.02 * number for number in range(16)]
    rising = [BalancedBounds().balance(view, low, 1.2) for low in steps]
    falling = [BalancedBounds(count_clipped=True).balance(view, low, 1.2) for low in steps]
    upper = [BalancedBounds().balance(view, 0.6, 2 * low) for low in steps]
    assert rising == sorted(rising)
    assert rising[0] < rising[-1]
    assert falling == sorted(falling, reverse=True)
    assert upper == sorted(upper)


def test_bapo_without_negative_tokens_stays_at_its_start():
    bapo = get("bapo")
    view = view_of(bapo, single(bapo, [(1.0, 0.5, 0.5), (0.0, 0.5, 0.5)]))
    assert tuple(float(bound) for bound in view.bounds) == pytest.approx((0.6, 1.2))


def scores(batch):
    logprobs = batch.stats[Stat.OLD_LOGPROBS]
    return logprobs.exp() * (batch.stats[Stat.OLD_ENTROPY] + logprobs)


def test_clip_b_removes_negative_tokens_far_below_the_mean():
    batch = estimated(get("grpo"))
    score, valid = scores(batch), batch.valid_BT
    mean, width = score[valid].mean(), score[valid].std(correction=0)
    far = valid & (score - mean < -0.4 * width)
    kept = ClipByBatch(0.4)(batch.clean()).valid_BT
    assert (kept == valid & ~(far & (batch.advantages < 0))).all()
    assert (far & (batch.advantages < 0)).any()
    assert (far & (batch.advantages > 0)).any()


@pytest.mark.parametrize("most", [0.0, 0.05, 1.0])
def test_clip_v_removes_the_worst_negative_tokens_and_all_at_zero(most):
    batch = estimated(get("clip_v", mu=0.1, max_fraction=1.0)).clean()
    level_row = torch.arange(10).unsqueeze(-1) == 0
    advantages = torch.where(level_row, 0.0, batch.advantages)
    batch = replace(batch, mask_BT=build().mask_BT, advantages_BT=advantages)
    score, valid = scores(batch), batch.valid_BT
    gap = torch.where(valid, batch.stats[MeanDiscriminator()] - score, 0.0).abs()
    batch = batch.with_stats({MeanDiscriminator(): gap + score})
    over = valid & (gap > 0.1 * gap[valid].std(correction=0))
    behind, level = over & (batch.advantages < 0), over & (batch.advantages == 0)
    assert level.any()
    cap = max(int(most * valid.sum()), 1)
    worst = sorted(gap[behind].tolist())[-cap:]
    removed = valid & ~ClipByVocabulary(0.1, most)(batch).valid_BT
    assert (removed[level]).all()
    assert sorted(gap[removed & ~level].tolist()) == worst


def test_filters_keep_everything_where_all_scores_are_equal():
    batch = estimated(get("clip_v"))
    ones = torch.ones_like(batch.mask_BT)
    flat = {Stat.OLD_LOGPROBS: -ones, Stat.OLD_ENTROPY: ones, MeanDiscriminator(): 9 * ones}
    batch = batch.with_stats(flat).clean()
    for step in (ClipByBatch(0.0), ClipByVocabulary(0.0, 1.0)):
        assert (step(batch).valid_BT == batch.valid_BT).all()


def test_mean_discriminator_is_the_expectation_over_the_vocabulary():
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)).double()
    logits[0, 3] = -math.inf
    probs = logits.softmax(-1)
    entropy = torch.special.entr(probs).sum(-1, keepdim=True)
    discriminators = probs * (entropy + probs.clamp(min=1e-300).log())
    got = MeanDiscriminator().of_logits(logits, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(got, (probs * discriminators).sum(-1))
    assert MeanDiscriminator().now().current


@pytest.mark.parametrize("threshold", [1e-9, 0.005, 0.02, 0.1, 1e9])
def test_m2po_keeps_the_longest_quiet_part_and_at_least_one_token(threshold):
    batch = estimated(get("m2po")).clean()
    kept = LimitSecondMoment(threshold)(batch).valid_BT
    gap = batch.stats[Stat.ROLLOUT_LOGPROBS] - batch.stats[Stat.OLD_LOGPROBS]
    squares = sorted((gap[batch.valid_BT] ** 2).tolist())
    good = [n for n in range(1, len(squares) + 1) if sum(squares[:n]) / n < threshold]
    count = max(good, default=1)
    assert kept.sum() == count
    assert sorted((gap[kept] ** 2).tolist()) == squares[:count]


def test_opsm_silences_negative_rows_that_were_left_behind(evaluate):
    opsm = get("opsm", threshold=0.0)
    batch = estimated(opsm)
    _, gradients = evaluate(opsm, batch)
    _, others = evaluate(replace(opsm, token_weights=()), batch)
    silenced = 0
    for row in range(9):
        valid = batch.valid_BT[row]
        away = batch.stats[Stat.ROLLOUT_LOGPROBS] - batch.stats[Stat.LOGPROBS]
        behind = batch.advantages[row][valid][0] < 0 and away[row][valid].mean() > 0
        silenced += bool(behind)
        expected = others[Stat.LOGPROBS][row] * (0.0 if behind else 1.0)
        torch.testing.assert_close(gradients[Stat.LOGPROBS][row], expected)
    assert silenced


def test_proximal_logprobs_lie_between_rollout_and_current():
    now, roll = torch.tensor([-1.5, -2.2, -3.0, -1.0]), torch.tensor([-1.0, -2.0, -1.0, -2.0])
    versions = torch.tensor([0, 2, 4, -1])
    got = proximal_logprobs(now, roll, versions, 4)
    torch.testing.assert_close(got, torch.tensor([-1.375, -2.1, -1.0, -2.0]))
    assert (proximal_logprobs(now, roll, versions, 4, "rollout") == roll).all()
    middle = math.log(0.25 * math.exp(-1.0) + 0.75 * math.exp(-1.5))
    linear = proximal_logprobs(now, roll, versions, 4, "linear")
    assert float(linear[0]) == pytest.approx(middle)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("gmpo", {"clip_low": -0.1}, "clip_low"),
        ("bapo", {"positive_share": 1.0}, "positive_share"),
        ("bapo", {"low_start": 0.95}, "balance.low"),
        ("bapo", {"high_step": 0.0}, "balance.high_step"),
        ("etr", {"advantage_gain": -1.0}, "advantage_gain"),
        ("dispo", {"variant": "cispo"}, "dispo, topr"),
        ("dppo", {"divergence": "js"}, "tv, kl"),
        ("dro", {"beta": -1.0}, "beta"),
        ("vespo", {"rate_negative": 0.0}, "rate_negative"),
        ("minpro", {"form": "mean"}, "weight, clip"),
        ("m2po", {"threshold": 0.0}, "m2_threshold"),
        ("clip_v", {"max_fraction": 2.0}, "most"),
        ("forking_tokens", {"variant": "trl"}, "quantile, exact"),
        ("kl_cov", {"kl_coefficient": -1.0}, "kl_coefficient"),
    ],
)
def test_impossible_settings_are_refused(name, settings, words):
    with pytest.raises(ConfigError, match=words):
        get(name, **settings)
