"""Advantages that are re-weighted, normalised in other ways, or thinned out."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Algorithm, Batch, Stat, controllers, estimate_advantages, get
from agentrl.algorithms.advantages import GroupRelative, spread
from agentrl.algorithms.beta import BetaNormalised, beta_density, beta_shape
from agentrl.algorithms.down_sampling import DownSample, lowest_of_best_subset
from agentrl.algorithms.group_weights import TemporaryAdvantage
from agentrl.algorithms.likelihood_weights import (
    ConfidenceShift,
    PerplexityWeight,
    perplexity_scores,
)
from agentrl.algorithms.papers import papers
from agentrl.algorithms.pass_at_k import BestMinusSecond, PassAtK
from agentrl.algorithms.position_bonus import PositionBonus
from agentrl.algorithms.quantiles import QuantileTracking, track
from agentrl.algorithms.risk import LEVELS, RiskOverBundles
from agentrl.algorithms.self_reward import MajorityLabel
from agentrl.algorithms.slots import RunFacts
from agentrl.algorithms.token_advantages import Whiten
from agentrl.errors import ConfigError

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


def batch_of(returns, groups, lengths=None, seed=0, **fields):
    """Return one row per episode, with random statistics and NaN where masked."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(lengths or [4] * len(returns))
    mask = (torch.arange(max(int(lengths.max()), 1)) < lengths.unsqueeze(-1)).double()

    def noise():
        values = torch.rand(mask.shape, generator=random, dtype=torch.float64) + 0.1
        return torch.where(mask > 0, values, float("nan"))

    returns = torch.tensor(returns, dtype=torch.float64)
    prompts = -torch.rand(len(returns), 5, generator=random, dtype=torch.float64)
    prompts[:, 0] = float("nan")
    batch = Batch(
        mask_BT=mask,
        groups_B=torch.tensor(groups),
        episodes_B=torch.arange(len(returns)),
        returns_B=returns,
        turns_BT=torch.where(mask > 0, torch.arange(mask.shape[1]) // 2, -1),
        components={"first": returns, "second": returns.roll(1)},
        prompt_logprobs_BP=prompts,
        stats={Stat.OLD_LOGPROBS: -noise(), Stat.OLD_ENTROPY: noise()},
    )
    return replace(batch, **fields)


def of(slot, batch, *transforms):
    """Return the advantages of an estimator, or of GRPO after a transform."""
    algorithm = Algorithm(name="test", advantage=slot, transforms=transforms)
    return estimate_advantages(algorithm, batch).advantages


RETURNS = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
GROUPS = [3, 3, 3, 3, 5, 5, 5, 5, 8, 8, 8, 8]
LENGTHS = [4, 2, 3, 1, 4, 4, 2, 3, 1, 4, 2, 3]


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


# RiskPO


def test_every_episode_is_in_one_paper_that_holds_each_task_once():
    batch = batch_of(RETURNS, GROUPS)
    for pairing in ("random", "order"):
        found = papers(batch, 3, pairing)
        assert found.count_P.tolist() == [3] * 4
        for paper in range(4):
            assert sorted(batch.groups_B[found.index_B == paper].tolist()) == [3, 5, 8]


def test_bundles_and_papers_do_not_depend_on_the_order_of_rows():
    batch = batch_of(RETURNS, GROUPS)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    for pairing in ("random", "order"):
        whole, moved = papers(batch, 2, pairing), papers(batch.rows(order), 2, pairing)
        assert moved.index_B.tolist() == whole.index_B[order].tolist()
        assert whole.bundle_P.tolist() == [0] * 4 + [1] * 4
    later = papers(replace(batch, step=1), 2, "random")
    assert later.index_B.tolist() != papers(batch, 2, "random").index_B.tolist()


def test_missing_episodes_do_not_lower_the_score_of_a_paper():
    batch = batch_of([1.0, 1.0, 1.0, 0.0], [0, 0, 1, 1], [1, 1, 1, 0])
    step = RiskOverBundles(bundle=2, pairing="order")
    assert step.scores(batch, papers(batch, 2, "order")).tolist() == [2.0, 2.0]


def test_riskpo_by_hand():
    """Scores 0, 1, 2, 4 with tracked quantiles 1 and 3; the levels lie 0.6 apart."""
    tracked = tuple(1.0 if level < 0.5 else 3.0 for level in LEVELS)
    step = RiskOverBundles(bundle=1, tracked=tracked, normalise=False, pairing="order")
    got = of(step, batch_of([0.0, 1.0, 2.0, 4.0], [0] * 4))[:, 0]
    tail, middle = [-1 / 0.2, 0, 0, 0], [0, 0, 1 / 0.6, 2 / 0.6]
    expected = [(1.5 * t + m) / 2.5 for t, m in zip(tail, middle, strict=True)]
    assert got.tolist() == pytest.approx(expected, rel=1e-4)
    baseline = of(replace(step, natural_baseline=True), batch_of([0.0, 1.0, 2.0, 4.0], [0] * 4))
    expected = [(1.5 * t + m - 2 / 0.6) / 2.5 for t, m in zip(tail, middle, strict=True)]
    assert baseline[:, 0].tolist() == pytest.approx(expected, rel=1e-4)
    seeking = of(replace(step, measure="seeking"), batch_of([0.0, 1.0, 2.0, 4.0], [0] * 4))
    expected = [(1.5 * t + m) / 2.5 for t, m in zip([0, 0, 0, 1 / 0.2], middle, strict=True)]
    assert seeking[:, 0].tolist() == pytest.approx(expected, rel=1e-4)


def test_tracked_quantiles_reach_the_next_update_and_checkpoints():
    algorithm = get("riskpo", bundle=1, pairing="order")
    running = controllers.start(algorithm)
    strong = batch_of([4.0, 5.0, 6.0, 7.0], [0] * 4)
    weak = batch_of([0.0, 0.0, 0.0, 0.0], [0] * 4)
    assert (estimate_advantages(controllers.apply(running, algorithm), weak).advantages == 0).all()
    first = estimate_advantages(controllers.apply(running, algorithm), strong)
    controllers.observe(running, {}, first)
    current = controllers.apply(running, algorithm)
    assert current.advantage.tracked == pytest.approx(
        torch.quantile(strong.returns_B, torch.tensor(LEVELS).double()).tolist(), rel=1e-5
    )
    assert (estimate_advantages(current, weak).advantages[:, 0] < 0).all()
    again = controllers.start(algorithm)
    again[0].load_state_dict(json.loads(json.dumps(running[0].state_dict())))
    assert controllers.apply(again, algorithm) == current


def test_a_quantile_moves_by_the_share_of_scores_below_it():
    known = tuple(float(number) for number in range(19))
    moved = track(known, torch.tensor([0.5, 0.5, 8.0, 100.0]), rate=0.1)
    for level, before, after in zip(LEVELS, known, moved, strict=True):
        below = sum(score < before for score in (0.5, 0.5, 8.0, 100.0)) / 4
        assert after == pytest.approx(before + 0.1 * (level - below), abs=1e-6)


def test_equal_scores_are_not_divided_by_their_deviation():
    tracked = tuple(1.0 if level < 0.5 else 3.0 for level in LEVELS)
    batch = batch_of([0.0] * 6, [0, 0, 0, 1, 1, 1])
    step = RiskOverBundles(bundle=2, tracked=tracked)
    got = of(step, batch)
    assert got[:, 0].tolist() == pytest.approx([1.5 * -1 / 0.2 / 2.5] * 6, rel=1e-4)
    assert (of(replace(step, least_std=0.0), batch) < -1e5).all()  # the released code


def test_credits_by_hand():
    """One bundle of two tasks; U is 1 for the first paper, -1 for the second."""
    batch = batch_of([1.0, 0.0, 0.0, 1.0, 1.0, 0.0], [0, 0, 0, 1, 1, 1])
    step = RiskOverBundles(bundle=2, pairing="order")
    found = papers(batch, 2, "order")
    risk = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)

    def credit(kind):
        return replace(step, credit=kind)._credit(batch, found, risk).tolist()

    assert credit("uniform") == [1, -1, 2, 1, -1, 2]
    assert credit("score") == [0.5, -1.5, 3, 0.5, -0.5, 3]
    std = statistics.stdev([1, 0, 0])
    assert credit("deviation") == pytest.approx([u / std for u in (1, -1, 2, 1, -1, 2)], rel=1e-5)
    leads = [2 / 3, -1 / 3, -1 / 3, 1 / 3, 1 / 3, -2 / 3]
    third = [2.0 * lead / (leads[2] + leads[5]) for lead in (leads[2], leads[5])]
    expected = [2 / 3, -0.5, third[0], 1 / 3, -0.5, third[1]]
    assert credit("share") == pytest.approx(expected)


def test_riskpo_refuses_what_cannot_work():
    with pytest.raises(ConfigError, match=r"5 tasks.*`tasks_per_step`"):
        get("riskpo").check_run(RunFacts(group_size=4, tasks_per_step=8))
    get("riskpo").check_run(RunFacts(group_size=4, tasks_per_step=10))
    with pytest.raises(ConfigError, match="Whiten"):
        get("riskpo", transforms=(Whiten(),))
    with pytest.raises(ConfigError, match="RiskOverBundles"):
        controllers.start(get("grpo", controllers=(QuantileTracking(),)))


# ProGRPO


def test_confidence_is_that_of_the_least_likely_tokens():
    batch = batch_of([1.0, 0.0], [0, 0], [5, 2])
    logprobs = torch.tensor([[-1.0, -4.0, -2.0, -0.5, -3.0], [-0.5, -2.5, 9, 9, 9]]).double()
    batch.stats[Stat.OLD_LOGPROBS] = logprobs
    batch.prompt_logprobs_BP = torch.tensor([[float("nan"), -1.0, -2.0, -5.0]] * 2).double()
    shift = ConfidenceShift(alpha=0.5, share=0.4)
    assert shift.of_episodes(batch).tolist() == pytest.approx([math.exp(-3.5), math.exp(-2.5)])
    assert shift.of_prompts(batch).tolist() == pytest.approx([math.exp(-3.5)] * 2)
    got = of(GroupRelative(scale="none"), batch, shift)
    assert float(got[0, 0]) == pytest.approx(0.5)
    assert float(got[1, 0]) == pytest.approx(-0.5 + 0.5 * (math.exp(-3.5) - math.exp(-2.5)))


def test_progrpo_evens_out_confidences_in_groups_that_are_all_right():
    right, wrong = (batch_of([value] * 4, [0] * 4) for value in (1.0, 0.0))
    advantages = estimate_advantages(get("progrpo"), right).advantages[:, 0]
    confidence = ConfidenceShift().of_episodes(right)
    expected = 0.3 * (ConfidenceShift().of_prompts(right) - confidence)
    torch.testing.assert_close(advantages, expected)
    assert (estimate_advantages(get("progrpo"), wrong).advantages == 0).all()
    assert (estimate_advantages(get("progrpo", skip="all_same"), right).advantages == 0).all()


# D3S


def test_the_subset_has_the_largest_variance():
    random = torch.Generator().manual_seed(0)
    for size, keep in ((5, 2), (7, 3), (8, 5), (6, 6), (4, 1)):
        values = sorted(torch.randn(size, generator=random, dtype=torch.float64).tolist())
        lowest = lowest_of_best_subset(values, keep)
        chosen = values[:lowest] + values[size - (keep - lowest) :]
        best = max(statistics.pvariance(c) for c in itertools.combinations(values, keep))
        assert statistics.pvariance(chosen) == pytest.approx(best)


def test_of_equally_good_subsets_that_with_fewest_low_values_is_taken():
    assert lowest_of_best_subset([-1.0, 0.0, 1.0], 1) == 0
    assert lowest_of_best_subset([-1.0, -1.0, 0.0, 1.0, 1.0], 3) == 1


def test_down_sampling_follows_its_schedule():
    batch = batch_of(list(range(8)), [0] * 8)
    batch = spread(batch.clean(), batch.returns_B - 3.5)
    step = DownSample(first_episodes=0.25, last_episodes=0.75, first_tokens=0.5, last_tokens=1.0)
    counts = []
    for made in (0, 5, 10):
        kept = step(replace(batch, step=made, steps=10)).valid_BT
        counts.append((int(kept.any(-1).sum()), int(kept.sum())))
    assert counts == [(2, 4), (4, 12), (6, 24)]


def test_tokens_are_kept_by_advantage_times_entropy():
    batch = batch_of([2.0, -1.0], [0, 0], [3, 3])
    batch.stats[Stat.OLD_ENTROPY] = torch.tensor([[0.1, 0.8, 0.5], [0.9, 0.3, 1.5]]).double()
    batch = spread(batch.clean(), batch.returns_B)
    step = DownSample(first_episodes=1.0, last_episodes=1.0, first_tokens=0.5, last_tokens=0.5)
    assert step(batch).mask_BT.tolist() == [[0, 1, 1], [0, 0, 1]]


def test_of_equal_advantages_the_less_certain_episodes_are_kept():
    batch = batch_of([0.0] * 3 + [1.0] * 3, [0] * 6, [2] * 6)
    entropy = torch.tensor([0.3, 0.9, 0.5, 0.2, 0.1, 0.7]).double()
    batch.stats[Stat.OLD_ENTROPY] = entropy.unsqueeze(-1).expand(6, 2)
    kept = DownSample(first_episodes=1 / 3).episodes(spread(batch.clean(), batch.returns_B))
    assert kept.tolist() == [False, True, False, False, False, True]


def test_down_sampling_within_groups_keeps_some_of_each():
    batch = batch_of(RETURNS, GROUPS)
    batch = spread(batch.clean(), batch.returns_B)
    batch.advantages_BT[4:8] *= 100
    each = DownSample(first_episodes=0.5, scope="group").episodes(batch)
    assert [int(each[start : start + 4].sum()) for start in (0, 4, 8)] == [2, 2, 2]
    assert DownSample(first_episodes=0.5).episodes(batch)[4:7].all()


# Perplexity and position


def test_perplexity_scores_by_hand():
    nll = [1.0, 2.0, 3.0, 4.0, 50.0]
    batch = batch_of([0.0] * 5, [0] * 5, [2] * 5)
    batch.stats[Stat.OLD_LOGPROBS] = -torch.tensor(nll, dtype=torch.float64)[:, None].expand(5, 2)
    score, inlier = perplexity_scores(batch)
    mean, std = statistics.mean(nll[:4]), statistics.pstdev(nll[:4])
    assert inlier.tolist() == [True] * 4 + [False]
    assert score.tolist() == pytest.approx([(value - mean) / std for value in nll])
    low = PerplexityWeight(alpha=0.1).weights(batch).tolist()
    assert low == pytest.approx([1 - 0.1 * z for z in score[:4].tolist()] + [0.8])
    high = PerplexityWeight(alpha=0.1, favour="high").weights(batch).tolist()
    assert high == pytest.approx([1 + 0.1 * z for z in score[:4].tolist()] + [1.2])


def test_the_bonus_grows_along_the_episode_and_keeps_signs():
    batch = batch_of([1.0, -0.1, 0.0], [0, 1, 2], [4, 4, 4])
    batch = spread(batch.clean(), batch.returns_B)
    got = PositionBonus(alpha=0.1).__call__(batch).advantages
    rise = [0.1 / (1 + math.exp(-15 * (u - 0.5))) for u in (0, 0.25, 0.5, 0.75)]
    assert got[0].tolist() == pytest.approx([1 + b for b in rise])
    assert got[1].tolist() == pytest.approx([-0.1 - min(b, 0.05) for b in rise])
    assert (got[2] == 0).all()


def test_the_bonus_may_start_again_in_every_turn():
    batch = batch_of([1.0], [0], [4])
    got = PositionBonus(along="turn")(spread(batch.clean(), batch.returns_B)).advantages[0]
    first, second = (0.1 / (1 + math.exp(-15 * (u - 0.5))) for u in (0, 0.5))
    assert got.tolist() == pytest.approx([1 + first, 1 + second, 1 + first, 1 + second])


@pytest.mark.parametrize(
    ("settings", "active"),
    [
        ({}, [0, 1, 199, 298, 299]),
        ({"first_step": 201, "last_step": 299}, [298]),
        ({"begin": 0.5}, [298, 299]),
        ({"last_step": 2}, [0, 1]),
    ],
)
def test_the_bonus_has_a_stage(settings, active):
    batch = batch_of([1.0], [0])
    step = PositionBonus(**settings)
    made = (0, 1, 199, 298, 299)
    assert [s for s in made if step.active(replace(batch, step=s, steps=500))] == active


def test_a_stage_that_is_never_reached_is_refused():
    algorithm = get("decomp_position", first_step=201)
    with pytest.raises(ConfigError, match=r"`first_step` is 201.*100 updates"):
        algorithm.check_run(RunFacts(group_size=2, tasks_per_step=1, steps=100))
    algorithm.check_run(RunFacts(group_size=2, tasks_per_step=1, steps=300))
