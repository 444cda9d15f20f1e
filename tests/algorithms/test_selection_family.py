"""RiskPO, ProGRPO, D3S, and the shapings by perplexity and position, case by case."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Stat, controllers, estimate_advantages, get
from agentrl.algorithms.advantages.group import GroupRelative, spread
from agentrl.algorithms.advantages.papers import papers
from agentrl.algorithms.advantages.quantiles import QuantileTracking, track
from agentrl.algorithms.advantages.risk import LEVELS, RiskOverBundles
from agentrl.algorithms.advantages.tokens import Whiten
from agentrl.algorithms.filters.down_sampling import DownSample, lowest_of_best_subset
from agentrl.algorithms.slots import RunFacts
from agentrl.algorithms.transforms.likelihood_weights import (
    ConfidenceShift,
    PerplexityWeight,
    perplexity_scores,
)
from agentrl.algorithms.transforms.position_bonus import PositionBonus
from agentrl.errors import ConfigError
from tests.algorithms.played_returns import GROUPS, RETURNS, batch_of, of

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
