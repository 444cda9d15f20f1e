"""Advantages that are re-weighted, normalised in other ways, or thinned out."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import estimate_advantages, get
from agentrl.algorithms.advantages.beta import BetaNormalised, beta_density, beta_shape
from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.advantages.pass_at_k import BestMinusSecond, PassAtK
from agentrl.algorithms.advantages.tokens import Whiten
from agentrl.algorithms.rewards.self_reward import MajorityLabel
from agentrl.algorithms.slots import RunFacts
from agentrl.algorithms.transforms.group_weights import TemporaryAdvantage
from agentrl.errors import ConfigError
from tests.algorithms.played_returns import GROUPS, LENGTHS, RETURNS, batch_of, of

METHODS = {
    "adora": {},
    "adora-vision": {"variant": "vision"},
    "adora-amplify": {"weighting": "amplify", "criterion": "difficulty"},
    "bnpo": {},
    "bnpo-components": {"components": ("first", "second")},
    "d3s": {},
    "d3s-group": {"scope": "group"},
    "decomp_ppl": {"alpha": 0.5},
    "decomp_position": {"begin": 0.0},
    "decomp_position-turn": {"begin": 0.0, "along": "turn"},
    "passk": {"k": 2},
    "passk-verl": {"variant": "verl"},
    "progrpo": {},
    "riskpo": {"bundle": 2},
    "riskpo-script": {"bundle": 2, "variant": "script"},
}
LEARNS_FROM_CONSTANT = {"riskpo", "progrpo"}
"""RiskPO compares with earlier scores; ProGRPO evens out confidences in groups all right."""


def method(name, **more):
    return get(name.partition("-")[0], **METHODS[name] | more)


@pytest.fixture(params=METHODS)
def name(request):
    return request.param


def test_a_group_may_be_listed_in_any_order(name):
    """Rows of a group change places, and are numbered anew; RiskPO deals by these numbers."""
    batch = batch_of(RETURNS, GROUPS, LENGTHS)
    order = torch.tensor([2, 0, 3, 1, 7, 4, 6, 5, 9, 8, 11, 10])
    moved = batch.rows(order)
    if not name.startswith("riskpo"):
        moved = replace(moved, episodes_B=batch.episodes_B)
    algorithm = method(name)
    before, after = (estimate_advantages(algorithm, rows) for rows in (batch, moved))
    torch.testing.assert_close(after.advantages, before.advantages[order])
    torch.testing.assert_close(after.mask_BT, before.mask_BT[order])
    assert before.advantages.abs().sum() > 0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_returns_teach_nothing(name, value):
    batch = batch_of([value] * 12, GROUPS, LENGTHS)
    if name.partition("-")[0] in LEARNS_FROM_CONSTANT:
        pytest.skip("by definition; the exceptions have tests of their own")
    assert (estimate_advantages(method(name), batch).advantages == 0).all()


@pytest.mark.parametrize(
    ("returns", "groups", "lengths"),
    [
        ([1.0], [0], [3]),
        ([1.0, 0.0, 1.0], [0, 1, 2], [3, 1, 2]),
        ([1.0] * 4, [0, 0, 1, 1], [3, 1, 2, 2]),
        ([0.0] * 4, [0, 0, 1, 1], [3, 1, 2, 2]),
        ([1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1], [0, 0, 0, 0]),
        ([1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1], [2, 0, 0, 1]),
    ],
    ids=["one sample", "groups of one", "all right", "all wrong", "all masked", "half masked"],
)
def test_degenerate_batches_are_finite_and_silent_where_masked(name, returns, groups, lengths):
    batch = estimate_advantages(method(name), batch_of(returns, groups, lengths))
    assert torch.isfinite(batch.advantages).all()
    assert (batch.advantages[~batch.valid_BT] == 0).all()
    assert batch.advantages.abs().max() < 10


def test_an_episode_counts_once_however_many_rows_it_has(name):
    """Every episode's tokens, once in one row and once in a row per turn of two tokens."""
    whole = batch_of(RETURNS, GROUPS, LENGTHS)
    rows = torch.arange(12).repeat_interleave(2)
    later = torch.arange(24) % 2 == 1

    def cut(values_BT):
        return torch.where(later.unsqueeze(-1), values_BT[rows, 2:], values_BT[rows, :2])

    stats = {stat: cut(values) for stat, values in whole.stats.items()}
    parts = replace(
        whole.rows(rows), mask_BT=cut(whole.mask_BT), turns_BT=cut(whole.turns_BT), stats=stats
    )
    expected = estimate_advantages(method(name), whole)
    got = estimate_advantages(method(name), parts)
    torch.testing.assert_close(got.advantages, cut(expected.advantages))
    torch.testing.assert_close(got.mask_BT, cut(expected.mask_BT))


# Pass@k


def test_pass_at_one_is_grpo_with_the_population_deviation():
    batch = batch_of(RETURNS, GROUPS)
    torch.testing.assert_close(of(PassAtK(k=1), batch), of(GroupRelative(population=True), batch))


@pytest.mark.parametrize(("correct", "k"), [(1, 2), (2, 3), (3, 3), (4, 2), (4, 1)])
def test_pass_at_k_is_the_mean_over_all_sets(correct, k):
    returns = [1.0] * correct + [0.0] * (6 - correct)
    sets = list(itertools.combinations(range(6), k))
    best = [max(returns[i] for i in chosen) for chosen in sets]
    mean, std = statistics.mean(best), statistics.pstdev(best)
    expected = []
    for i in range(6):
        mine = [value for chosen, value in zip(sets, best, strict=True) if i in chosen]
        expected.append((statistics.mean(mine) - mean) / std)
    got = of(PassAtK(k=k, epsilon=0.0), batch_of(returns, [0] * 6))[:, 0]
    assert got.tolist() == pytest.approx(expected)


def test_pass_at_k_is_silent_where_no_set_fails_and_where_groups_are_small():
    batch = batch_of([1.0, 1.0, 0.0, 1.0, 0.0], [0, 0, 0, 1, 1])
    assert (of(PassAtK(k=3), batch) == 0).all()


def test_pass_at_k_refuses_other_rewards_and_reads_components():
    batch = batch_of([1.0, 0.5], [0, 0])
    with pytest.raises(ConfigError, match=r"0 or 1.*0\.5.*`component`"):
        of(PassAtK(k=1), batch)
    batch.components["success"] = torch.tensor([1.0, 0.0])
    got = of(PassAtK(k=1, component="success", epsilon=0.0), batch)
    assert got[:, 0].tolist() == [1.0, -1.0]


def test_pass_at_k_refuses_what_cannot_work():
    with pytest.raises(ConfigError, match="Whiten"):
        get("passk", transforms=(Whiten(),))
    with pytest.raises(ConfigError, match="OverlongPenalty"):
        get("passk", reward_shaping=get("dapo").reward_shaping)
    get("passk", component="success", reward_shaping=get("dapo").reward_shaping)
    with pytest.raises(ConfigError, match=r"`k` is 4.*2 episodes"):
        get("passk").check_run(RunFacts(group_size=2, tasks_per_step=1))


def test_only_a_single_best_episode_gets_its_lead():
    batch = batch_of([1.0, 3.0, 2.0, 2.0, 2.0, 5.0], [0, 0, 0, 1, 1, 2])
    assert of(BestMinusSecond(scale="none"), batch)[:, 0].tolist() == [0, 1, 0, 0, 0, 0]
    got = of(BestMinusSecond(epsilon=0.0), batch)[1, 0]
    assert float(got) == pytest.approx(1.0 / statistics.stdev([1, 3, 2]))


# BNPO


def test_bnpo_with_three_halves_is_pi_eighths_of_grpo():
    batch = batch_of(RETURNS, GROUPS)
    got = of(BetaNormalised(shape=(1.5, 1.5)), batch)
    grpo = of(GroupRelative(population=True, epsilon=0.0), batch)
    torch.testing.assert_close(got, math.pi / 8 * grpo)


def test_bnpo_with_ones_only_subtracts_the_mean():
    batch = batch_of(RETURNS, GROUPS)
    got = of(BetaNormalised(shape=(1.0, 1.0)), batch)
    torch.testing.assert_close(got, of(GroupRelative(scale="none"), batch))


def test_bnpo_by_hand():
    """Rates 1/2, 3/4, 1/4: mu = 1/2, v = 1/16, kappa = 3, a = b = 3/2, so alpha = beta = 3/2."""
    alpha, beta = beta_shape(torch.tensor([0.5, 0.75, 0.25], dtype=torch.float64))
    assert (alpha, beta) == pytest.approx((1.5, 1.5))
    density = 8 / math.pi * math.sqrt(0.75 * 0.25)
    got = of(BetaNormalised(), batch_of(RETURNS, GROUPS))
    assert float(got[4, 0]) == pytest.approx(0.25 / density)
    assert float(got[7, 0]) == pytest.approx(-0.75 / density)


def test_the_beta_density_integrates_to_one():
    values = torch.linspace(0, 1, 20001, dtype=torch.float64)
    for alpha, beta in ((1.0, 1.0), (1.5, 1.5), (1.0, 4.0), (2.5, 1.2)):
        area = float(torch.trapezoid(beta_density(values, alpha, beta), values))
        assert area == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "rates", [[0.3], [0.5, 0.5], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5 + 1e-6]]
)
def test_bnpo_falls_back_where_no_beta_distribution_fits(rates):
    assert beta_shape(torch.tensor(rates, dtype=torch.float64)) == (1.0, 1.0)


def test_bnpo_takes_the_mean_over_components_and_maps_the_range():
    batch = batch_of(RETURNS, GROUPS)
    batch.components["wide"] = 4 * torch.tensor(RETURNS[::-1], dtype=torch.float64) - 2
    first = of(BetaNormalised(components=("first",), low=0, high=1), batch)
    torch.testing.assert_close(first, of(BetaNormalised(), batch))
    mapped = replace(batch, returns_B=4 * batch.returns_B - 2)
    torch.testing.assert_close(of(BetaNormalised(low=-2, high=2), mapped), first)
    batch.components["reversed"] = torch.tensor(RETURNS[::-1], dtype=torch.float64)
    both = of(BetaNormalised(components=("first", "reversed")), batch)
    other = of(BetaNormalised(components=("reversed",)), batch)
    torch.testing.assert_close(both, (first + other) / 2)


def test_bnpo_refuses_rewards_outside_its_range():
    with pytest.raises(ConfigError, match=r"\[0, 1\].*a return is 2"):
        of(BetaNormalised(), batch_of([2.0, 0.0], [0, 0]))
    with pytest.raises(ConfigError, match="`high`"):
        get("bnpo", low=1.0, high=1.0)


# ADORA


def weights(returns, lengths, groups=None, **settings):
    fields = {key: settings.pop(key) for key in ("truncated_B", "outcomes_B") if key in settings}
    batch = batch_of(returns, groups or [0] * len(returns), lengths, **fields)
    return TemporaryAdvantage(**settings).weights(batch).tolist()


def test_adora_compares_the_longest_success_with_the_mean_failure():
    assert weights([1.0, 1.0, 0.0, 0.0], [1, 4, 3, 4]) == [1.0] * 4
    assert weights([1.0, 1.0, 0.0, 0.0], [1, 3, 2, 4]) == [0.1] * 4  # equal is not longer
    assert weights([1.0, 0.0, 1.0, 0.0], [4, 1, 1, 4], [0, 0, 1, 1]) == [1.0, 1.0, 0.1, 0.1]


def test_adora_ignores_failures_that_were_cut_off():
    cut = torch.tensor([False, False, True])
    assert weights([1.0, 0.0, 0.0], [2, 1, 4], truncated_B=cut) == [1.0] * 3
    assert weights([1.0, 0.0, 0.0], [2, 1, 4], truncated_B=~cut) == [0.1] * 3
    assert weights([1.0, 0.0, 0.0], [2, 1, 4], truncation=4) == [1.0] * 3
    assert weights([1.0, 0.0, 0.0], [2, 1, 4], truncation=5) == [0.1] * 3


def test_adora_both_released_readings_of_a_missing_side():
    vision = {"no_success": "neutral", "no_failure": "others"}
    assert weights([0.0, 0.0], [1, 2]) == [0.1] * 2
    assert weights([0.0, 0.0], [1, 2], **vision) == [1.0] * 2
    assert weights([1.0, 1.0], [1, 2]) == [1.0] * 2
    assert weights([1.0, 1.0], [1, 2], **vision) == [0.1] * 2
    assert weights([0.0, 0.0], [3, 3], truncation=2) == [0.1] * 2
    assert weights([0.0, 0.0], [3, 3], truncation=2, **vision) == [1.0] * 2


@pytest.mark.parametrize(
    ("criterion", "chosen"),
    [
        ("length", [True, False, True, False]),
        ("difficulty", [True, True, False, False]),
        ("both", [True, False, False, False]),
        ("either", [True, True, True, False]),
    ],
)
def test_adora_criteria(criterion, chosen):
    """Groups of three: one or two right, whose right ones are long or short."""
    returns = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    lengths = [4, 1, 1, 1, 4, 4, 4, 4, 1, 1, 1, 4]
    groups = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    got = weights(returns, lengths, groups, criterion=criterion, chosen=2.0, others=1.0)
    assert got[::3] == [2.0 if each else 1.0 for each in chosen]


def test_adora_takes_half_right_for_difficult():
    settings = {"criterion": "difficulty", "chosen": 2.0, "others": 1.0}
    assert weights([1.0, 0.0], [2, 2], **settings) == [2.0] * 2
    assert weights([1.0, 1.0, 0.0], [2, 2, 2], **settings) == [1.0] * 3


def test_adora_counts_turns_and_reads_outcomes_before_shaping():
    assert weights([1.0, 0.0], [4, 3], unit="turns") == [0.1] * 2  # two turns each
    assert weights([1.0, 0.0], [4, 2], unit="turns") == [1.0] * 2
    bare = torch.tensor([1.0, 0.0])
    assert weights([-3.0, 0.0], [4, 2], outcomes_B=bare) == [1.0] * 2


def test_adora_scales_grpo():
    batch = batch_of([1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1], [4, 1, 1, 4])
    grpo = of(GroupRelative(), batch)
    expected = grpo * torch.tensor([1.0, 1.0, 0.1, 0.1]).unsqueeze(-1)
    torch.testing.assert_close(estimate_advantages(get("adora"), batch).advantages, expected)
    amplified = estimate_advantages(get("adora", weighting="amplify"), batch).advantages
    expected = grpo * torch.tensor([2.0, 2.0, 1.0, 1.0]).unsqueeze(-1)
    torch.testing.assert_close(amplified, expected)


@pytest.mark.parametrize("name", ["adora", "passk"])
def test_self_labels_are_refused_where_truth_is_needed(name):
    with pytest.raises(ConfigError, match=r"MajorityLabel.*`allow_self_labels`"):
        get(name, reward=MajorityLabel())
    get(name, reward=MajorityLabel(), allow_self_labels=True)
    get("bnpo", reward=MajorityLabel())
