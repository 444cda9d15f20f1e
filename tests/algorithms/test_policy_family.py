"""Identities and hand-computed cases of the policy-loss family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Normaliser, Stat, estimate_advantages, get, prepare
from agentrl.algorithms.behaviour.row_weights import RowGeometricMean
from agentrl.algorithms.behaviour.weights import BehaviourWeight
from agentrl.algorithms.loss import make_view
from agentrl.algorithms.ratios.adaptive_bounds import ElasticBounds, NoteOutcomeVariance
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.surrogates.standard import PPOClip, RatioPG
from agentrl.errors import ConfigError
from tests.algorithms.conftest import build


def estimated(algorithm, **changes):
    return estimate_advantages(algorithm, build(requires=algorithm.requires, **changes))


def assert_same(evaluate, one, other, batch, **tolerance):
    value, gradients = evaluate(one, batch)
    value2, gradients2 = evaluate(other, batch)
    torch.testing.assert_close(value, value2, **tolerance)
    for name in (Stat.LOGPROBS,):
        torch.testing.assert_close(gradients[name], gradients2[name], **tolerance)


def view_of(algorithm, batch):
    normaliser = Normaliser.of(batch.mask_BT)
    return make_view(algorithm, batch, normaliser, prepared=prepare(algorithm, batch))


EQUAL = {"rtol": 0.0, "atol": 0.0}
PPO = replace(get("dapo"), surrogate=PPOClip())
WIDE = {"spread": 0.8}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            get("dispo", positive_low=0.2, positive_high=0.5, negative_low=0.2, negative_high=0.5),
            get("cispo", clip_low=0.2, clip_high=0.5),
        ),
        (get("etr", advantage_gain=0.0, group_gain=0.0), get("dapo")),
        (
            get("steer", weight_low=1.0, weight_high=1.0),
            replace(get("dapo"), surrogate=PPOClip(10.0)),
        ),
        (
            get("bapo", low_start=0.8, low_end=0.8, high_start=1.28, high_end=1.28),
            replace(PPO, bounds=ConstantBounds(1 - 0.8, 1.28 - 1), surrogate=PPOClip(3.0)),
        ),
        (
            get("clip_cov", covariance_low=50, covariance_high=60, clip_low=0.2, clip_high=0.28),
            PPO,
        ),
        (get("forking_tokens", fraction=1.0), PPO),
        (get("forking_tokens", fraction=1.0, variant="exact"), PPO),
        (get("decoupled_ppo", clip_high=0.28), replace(PPO, behaviour=(
            BehaviourWeight(level="token", action="mask", cap=5.0),
        ))),
        (get("opsm", threshold=100.0), replace(get("grpo"), regularisers=())),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_special_cases_are_the_simpler_method(evaluate, one, other):
    tolerance = EQUAL if one.name in ("etr", "dispo") else {"rtol": 1e-8, "atol": 1e-12}
    assert_same(evaluate, one, other, estimated(one, **WIDE), **tolerance)


def test_etr_without_gains_has_dapos_bounds_bit_for_bit_in_float32():
    etr = get("etr", advantage_gain=0.0, group_gain=0.0)
    batch = estimated(etr).mapped(lambda x: x.float() if x.is_floating_point() else x)
    for ours, theirs in zip(view_of(etr, batch).bounds, view_of(PPO, batch).bounds, strict=True):
        assert ours.dtype == torch.float32
        assert (ours == theirs).all()


def test_etr_by_hand_and_its_bounds_never_shrink():
    etr = get("etr", outcome_high=2.0)
    batch = estimated(etr)
    batch = replace(batch, advantages_BT=torch.linspace(-3, 3, 70).reshape(10, 7))
    # group 4 holds two episodes with outcomes 1 and 0 of 2: variance 1/16, times 4
    assert batch.notes["outcome_variance"][0] == pytest.approx(0.25)
    bounds = view_of(etr, batch).bounds
    for row in (0, 2):
        size = batch.advantages[row, 0].abs()
        scale = size / (1 + size) + batch.notes["outcome_variance"][row]
        scale = scale.clamp(0.5, 2.0)
        assert float(bounds.low[row, 0]) == pytest.approx(float(1 - 0.2 * scale))
        assert float(bounds.high[row, 0]) == pytest.approx(float(1 + 0.28 * scale))
    order = batch.advantages[0].abs().argsort()
    assert (bounds.high[0][order].diff() >= 0).all()
    assert (bounds.low[0][order].diff() <= 0).all()
    mixed = batch.with_notes(outcome_variance=batch.notes["outcome_variance"] + 0.3)
    wider = view_of(etr, mixed).bounds
    assert (wider.high >= bounds.high).all()
    assert (wider.low <= bounds.low).all()
    assert (wider.high > bounds.high).any()


def test_etr_bounds_alone_are_refused():
    with pytest.raises(ConfigError, match="NoteOutcomeVariance"):
        get("grpo", bounds=ElasticBounds())
    with pytest.raises(ConfigError, match="outcome_low"):
        NoteOutcomeVariance(1.0, 1.0)


def test_topr_weighs_positives_by_one_and_caps_negatives_at_one(evaluate):
    topr = get("dispo", variant="topr")
    batch = estimated(topr, **WIDE)
    _, gradients = evaluate(topr, batch)
    ratio = (batch.stats[Stat.LOGPROBS] - batch.stats[Stat.OLD_LOGPROBS]).exp()
    weight = torch.where(batch.advantages > 0, torch.ones_like(ratio), ratio.clamp(max=1.0))
    expected = torch.where(batch.valid_BT, -batch.advantages * weight, 0.0) / batch.mask_BT.sum()
    torch.testing.assert_close(gradients[Stat.LOGPROBS], expected)


def test_kl_cov_is_the_plain_ratio_where_policies_agree_and_moves_the_top_tokens_elsewhere(
    evaluate,
):
    kl_cov = get("kl_cov", fraction=0.1)
    plain = replace(kl_cov, regularisers=())
    assert plain.surrogate == RatioPG()
    assert_same(evaluate, kl_cov, plain, estimated(kl_cov, spread=0.0))
    batch = estimated(kl_cov)
    _, gradients = evaluate(kl_cov, batch)
    _, others = evaluate(plain, batch)
    moved = (gradients[Stat.LOGPROBS] - others[Stat.LOGPROBS]) * batch.mask_BT.sum()
    delta = batch.stats[Stat.LOGPROBS] - batch.stats[Stat.OLD_LOGPROBS]
    chosen = moved.abs() > 1e-9
    assert chosen.sum() == int(0.1 * batch.mask_BT.sum())
    torch.testing.assert_close(moved[chosen], delta[chosen].sign())


def test_gmpo_of_one_token_rows_without_a_range_is_the_plain_ratio(evaluate):
    gmpo = get("gmpo", clip_low=100.0, clip_high=100.0)
    batch = estimated(gmpo)
    alone = replace(batch, mask_BT=batch.mask_BT * (torch.arange(7) == 0))
    plain = replace(gmpo, surrogate=RatioPG())
    assert_same(evaluate, gmpo, plain, alone, rtol=1e-7, atol=1e-10)


def test_gmpo_matches_a_loop():
    gmpo = get("gmpo", clip_low=0.1, clip_high=0.2)
    batch = estimated(gmpo, **WIDE)
    loss_BT = gmpo.surrogate(view_of(gmpo, batch))
    for row in range(9):
        logs = []
        for column in batch.valid_BT[row].nonzero().flatten():
            log = float(batch.stats[Stat.LOGPROBS][row, column])
            log -= float(batch.stats[Stat.OLD_LOGPROBS][row, column])
            logs.append(min(log, 0.2) if batch.advantages[row, column] > 0 else max(log, -0.1))
        ratio = torch.tensor(sum(logs) / len(logs)).exp()
        advantage = batch.advantages[row][batch.valid_BT[row]].mean()
        assert float(loss_BT[row, 0]) == pytest.approx(float(-advantage * ratio), rel=1e-6)


def test_gmpo_takes_the_geometric_mean_of_behaviour_weights():
    inner = BehaviourWeight(level="token", cap=1.1)
    gmpo = get("gmpo", behaviour={"level": "token", "cap": 1.1})
    assert gmpo.behaviour == (RowGeometricMean((inner,)),)
    batch = estimated(gmpo)
    weight_BT, token_BT = gmpo.behaviour[0](view_of(gmpo, batch)), inner.weights(batch.clean())
    for row in range(9):
        expected = token_BT[row][batch.valid_BT[row]].log().mean().exp()
        torch.testing.assert_close(weight_BT[row], expected.expand(7))


def loop_prefix(batch, include_current):
    """Return mu [B, T] by walking each episode's rows in the order of their turns."""
    mu_BT = torch.ones_like(batch.mask_BT)
    delta = batch.stats[Stat.LOGPROBS] - batch.stats[Stat.OLD_LOGPROBS]
    first = torch.where(batch.valid_BT, batch.turns_BT, 99).amin(-1)
    for episode in set(batch.episodes_B.tolist()):
        rows = [row for row in range(10) if batch.episodes_B[row] == episode]
        seen = []
        for row in sorted(rows, key=lambda row: int(first[row])):
            for column in batch.valid_BT[row].nonzero().flatten().tolist():
                now = float(delta[row, column].exp())
                known = [*seen, now] if include_current else seen
                mu_BT[row, column] = min(known) if known else 1.0
                seen.append(now)
    return mu_BT


@pytest.mark.parametrize("include_current", [False, True])
@pytest.mark.parametrize("cap_prefix", [False, True])
def test_minpro_prefix_is_the_least_earlier_ratio_of_the_episode(include_current, cap_prefix):
    options = {"include_current": include_current, "cap_prefix": cap_prefix}
    minpro = get("minpro", **options)
    batch = estimated(minpro)
    later_turn_first = torch.tensor([3, 1, 0, 2, 4, 5, 6, 7, 8, 9])
    expected = loop_prefix(batch, include_current)
    expected = expected.clamp(max=1.0) if cap_prefix else expected
    view = view_of(minpro, batch)
    mu_BT = minpro.surrogate.prefix(view)
    torch.testing.assert_close(mu_BT[batch.valid_BT], expected[batch.valid_BT])
    assert (mu_BT[1] != loop_prefix(batch.rows(torch.tensor([1] * 10)), True)[1]).any()
    shuffled = replace(view, batch=view.batch.rows(later_turn_first))
    torch.testing.assert_close(minpro.surrogate.prefix(shuffled), mu_BT[later_turn_first])


def test_minpro_over_the_row_starts_anew_in_every_row():
    minpro = get("minpro", span="row")
    batch = estimated(minpro)
    alone = replace(batch, episodes_B=torch.arange(10))
    mu_BT = minpro.surrogate.prefix(view_of(minpro, batch))
    expected = loop_prefix(alone, include_current=False)
    torch.testing.assert_close(mu_BT[batch.valid_BT], expected[batch.valid_BT])


@pytest.mark.parametrize(
    ("settings", "advantage", "weights"),
    [
        ({}, -2.0, [1.8, 1.0, 1.5]),
        ({"clip_first": True}, -2.0, [1.8, 1.0, 0.9]),
        ({"form": "clip"}, -2.0, [2.0, 1.0, 1.5]),
        ({"form": "clip"}, 2.0, [0.0, 1.0, 1.5]),
    ],
)
def test_minpro_by_hand(evaluate, settings, advantage, weights):
    """Ratios 2, 1/2, 3 in one row: mu = 1, 2, 1/2, so the products are 2, 1 and 3/2."""
    minpro = get("minpro", clip_low=0.5, clip_high=0.8, **settings)
    batch = estimated(minpro)
    mask = torch.zeros_like(batch.mask_BT)
    mask[0, :3] = 1
    old = torch.zeros_like(mask)
    now = old.clone()
    now[0, :3] = torch.tensor([2.0, 0.5, 3.0]).log()
    batch = replace(batch, mask_BT=mask, advantages_BT=mask * advantage)
    batch = batch.with_stats({Stat.LOGPROBS: now, Stat.OLD_LOGPROBS: old})
    _, gradients = evaluate(minpro, batch)
    expected = -advantage * torch.tensor(weights, dtype=torch.float64) / 3
    torch.testing.assert_close(gradients[Stat.LOGPROBS][0, :3], expected)


def test_luspo_weighs_gspo_rows_by_their_length(evaluate):
    luspo = get("luspo", clip_low=0.2, clip_high=0.2)
    batch = estimated(luspo)
    gspo = get("gspo", clip_low=0.2, clip_high=0.2)
    _, gradients = evaluate(luspo, batch)
    _, others = evaluate(gspo, batch)
    lengths = batch.mask_BT.sum(-1, keepdim=True)
    expected = others[Stat.LOGPROBS] * lengths
    torch.testing.assert_close(gradients[Stat.LOGPROBS], expected, rtol=1e-7, atol=1e-10)
