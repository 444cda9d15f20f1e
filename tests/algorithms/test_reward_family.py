"""Methods that take their rewards from agreement: EMPO, TTRL, ETTRL and SEED-GRPO."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Stat, estimate_advantages, get, report
from agentrl.algorithms.metrics import noted
from agentrl.algorithms.rewards.answers import AnswerClusters, equal_number
from agentrl.algorithms.rewards.clusters import cluster
from agentrl.algorithms.rewards.self_reward import ClusterFrequency, MajorityLabel, SemanticBand
from agentrl.algorithms.strategies.ettrl import Ettrl
from agentrl.algorithms.transforms.semantic import (
    EntropyReshaping,
    SemanticEntropyScale,
    likelihood_entropy,
)
from agentrl.errors import ConfigError, StatisticMissing
from tests.algorithms.reward_batches import answered, played

LAYOUTS = pytest.mark.parametrize("layout", ["full", "window"])


def close(one, other):
    torch.testing.assert_close(one, torch.as_tensor(other, dtype=one.dtype))


# Clusters


def test_an_answer_is_compared_with_first_members_only():
    near = lambda a, b: abs(a - b) <= 1  # noqa: E731 - not transitive
    assert cluster([0, 1, 2, 3, 1], near) == [0, 0, 1, 1, 0]


def test_no_answer_joins_none_that_is_missing():
    assert cluster([None, "a", None, "a"], lambda a, b: a == b) == [0, 1, 2, 1]


@pytest.mark.parametrize(
    "one, other, equal",
    [
        ("1/2", "0.5", True),
        ("$1,000", "1000.0", True),
        ("x", " x", True),
        ("x", "y", False),
        ("2", "x", False),
        ("1/0", "1/0", True),
    ],
)
def test_numbers_are_equal_by_value(one, other, equal):
    assert equal_number(one, other) is equal


def test_clusters_shares_and_entropy_of_two_groups():
    batch = answered(["a", "b", "a", "z", "z", "a"], [5, 5, 5, 3, 3, 5])
    found = AnswerClusters()(batch)
    assert found.cluster_B.tolist() == [0, 1, 0, 0, 0, 0]
    close(found.share_B, [0.75, 0.25, 0.75, 1, 1, 0.75])
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    close(found.entropy(), [entropy] * 3 + [0, 0, entropy])
    close(found.largest_share(), [0.75] * 3 + [1, 1, 0.75])
    assert found.repeated_B.all()


@pytest.mark.parametrize("empty, wanted", [("own", [0, 1, 2, 2]), ("together", [0, 0, 1, 1])])
def test_where_episodes_without_an_answer_go(empty, wanted):
    found = AnswerClusters(empty=empty)(answered([None, "", "x", "x"]))
    assert found.cluster_B.tolist() == wanted
    assert found.empty_B.tolist() == [True, True, False, False]


@LAYOUTS
def test_without_final_answers_equal_transcripts_are_equal_answers(layout):
    turns = [[[1, 2], [3]], [[1, 2], [4]], [[1, 2], [3]], [[1], [2]]]
    batch = played(turns, [0] * 4, layout=layout)
    found = AnswerClusters()(batch)
    wanted = [0, 1, 0, 2] if layout == "full" else [0, 0, 1, 1, 0, 0, 2, 2]
    assert found.cluster_B.tolist() == wanted
    assert (found.count_B == 4).all()


def test_final_answers_are_preferred_and_actions_can_be_asked_for():
    batch = answered(["a", "a", None])
    assert AnswerClusters()(batch).cluster_B.tolist() == [0, 0, 1]
    assert AnswerClusters(answers="actions")(batch).cluster_B.tolist() == [0, 1, 2]


def test_missing_final_answers_are_named_with_the_way_out():
    with pytest.raises(StatisticMissing, match=r'`final_answer`.*answers="actions"'):
        AnswerClusters(answers="final")(answered([None, None]))


def test_episodes_without_a_valid_token_do_not_vote():
    batch = answered(["a", "a", "b"])
    found = AnswerClusters()(batch.keep(torch.tensor([True, False, True])))
    assert found.cluster_B.tolist() == [0, -1, 1]
    close(found.share_B, [0.5, 0, 0.5])
    assert found.majority().tolist() == [True, False, False]


def test_of_equally_common_answers_the_first_sampled_wins():
    batch = answered(["", "b", "a", "a", "b", ""])
    assert AnswerClusters()(batch).majority().tolist() == [False, True, False, False, True, False]
    later = replace(batch, index_B=torch.tensor([0, 5, 1, 2, 3, 4]))
    winners = AnswerClusters(empty="together")(later).majority()
    assert winners.tolist() == [False, False, True, True, False, False]


def test_nobody_is_the_majority_where_nobody_answered():
    assert not AnswerClusters()(answered(["", None, "x"], [0, 0, 1])).majority()[:2].any()


# EMPO


def test_a_unanimous_group_has_reward_one_and_no_advantage():
    batch = answered(["a"] * 4)
    assert ClusterFrequency()(batch).returns_B.tolist() == [1.0] * 4
    for settings in ({}, {"filter_groups": False}, {"variant": "trl"}, {"variant": "verl"}):
        assert (estimate_advantages(get("empo", **settings), batch).advantages == 0).all()


def test_the_reward_is_the_share_and_lies_at_the_last_token():
    batch = played([[[1, 2]], [[3]], [[1, 2]]], [0, 0, 0], returns=[9, 9, 9])
    paid = ClusterFrequency()(batch)
    close(paid.returns_B, [2 / 3, 1 / 3, 2 / 3])
    close(paid.rewards_BT, [[0, 2 / 3], [1 / 3, 0], [0, 2 / 3]])


def test_the_order_within_a_group_changes_no_reward():
    answers = ["a", "b", "c", "a", "", "a", "b"]
    order = torch.randperm(7, generator=torch.Generator().manual_seed(3))
    batch, algorithm = answered(answers), get("empo")
    shuffled = answered([answers[place] for place in order])
    advantages = estimate_advantages(algorithm, batch).advantages
    close(estimate_advantages(algorithm, shuffled).advantages, advantages[order])


def test_the_trl_variant_pays_nothing_for_silence_and_for_scattered_groups():
    batch = answered(["", "a", "a", "", "x", "y", "z"], [0, 0, 0, 0, 1, 1, 1])
    paid = get("empo", variant="trl").reward(batch)
    close(paid.returns_B, [0, 0.5, 0.5, 0, 0, 0, 0])
    close(get("empo").reward(batch).returns_B, [0.25, 0.5, 0.5, 0.25] + [1 / 3] * 3)


def test_voting_pays_every_largest_cluster():
    batch = answered(["a", "b", "b", "a", "c"])
    assert ClusterFrequency(rule="voting")(batch).returns_B.tolist() == [1, 1, 1, 1, 0]


def test_the_band_keeps_groups_between_sure_and_scattered():
    groups = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]
    answers = ["a", "a", "x", "y", "p", "p", "q", "1", "1", "2", "3", "4"]
    batch = answered(answers, groups)
    kept = SemanticBand()(batch).valid_BT.any(-1)
    assert kept.tolist() == [False] * 4 + [True] * 8
    assert not SemanticBand(least=0.5).keep(batch)[7:].any()
    assert not SemanticBand(high=0.5).keep(batch)[4:7].any()
    with pytest.raises(ConfigError, match=r"`entropy_high` is 0\.1"):
        SemanticBand(low=0.2, high=0.1)


# TTRL and ETTRL


def test_all_vote_and_the_first_are_trained_on():
    batch = answered(["a", "b", "c", "b", "b", "a"], [0, 0, 0, 0, 0, 1])
    paid = MajorityLabel(train=2)(batch)
    assert paid.returns_B.tolist() == [0, 1, 0, 1, 1, 1]
    assert paid.valid_BT.any(-1).tolist() == [True, True, False, False, False, True]
    advantages = estimate_advantages(get("ttrl", train_rollouts=2), batch).advantages[:2, 0]
    assert advantages[0] == -advantages[1] < 0


def test_a_group_without_any_answer_gets_nothing():
    batch = answered([None, None, "x", "y"], [0, 0, 1, 1])
    assert MajorityLabel()(batch).returns_B.tolist() == [0, 0, 1, 0]


def test_ettrl_forks_where_etmr_says_and_votes_as_ttrl_does():
    ettrl, ttrl = get("ettrl"), get("ttrl")
    assert ettrl.rollout == Ettrl(roots=12, fork_count=2, branches=2)
    assert ettrl.rollout.rollouts == 60
    assert ettrl.reward == ttrl.reward


@LAYOUTS
def test_surer_episodes_weigh_more(layout):
    """H = 0.1, 0.2, 0.6, mean 0.3: factors 2 - 1/3, 2 - 2/3 and max(0, 2 - 2)."""
    turns = [[[1], [1, 1]], [[1, 3], [2]], [[6, 6], [6]]]
    batch = played(turns, [0] * 3, layout=layout)
    rows = batch.episodes_B
    close(EntropyReshaping().factor(batch), torch.tensor([5 / 3, 4 / 3, 0.0])[rows])


def test_equal_or_no_entropies_change_nothing_and_the_factor_is_never_negative():
    for tokens in ([4, 4, 4], [0, 0, 0]):
        batch = played([[[token]] for token in tokens], [0] * 3)
        close(EntropyReshaping().factor(batch), [1.0] * 3)
    wild = played([[[1]], [[1]], [[1]], [[90]]], [0] * 4)
    assert EntropyReshaping().factor(wild)[3] == 0


def test_the_clip_bounds_advantages():
    batch = played([[[1]], [[2]], [[3]]], [0] * 3)
    batch = replace(batch, advantages_BT=torch.tensor([[3.0], [-5.0], [0.5]]))
    clipped = EntropyReshaping(kind="clip", beta=2.0)(batch)
    assert clipped.advantages.tolist() == [[2.0], [-2.0], [0.5]]
    assert Stat.OLD_ENTROPY not in EntropyReshaping(kind="clip").requires


# SEED-GRPO


@pytest.mark.parametrize("form", ["linear", "exp", "reciprocal"])
def test_the_factor_is_one_for_a_sure_group_and_falls_with_entropy(form):
    groups = [0] * 4 + [1] * 4 + [2] * 4 + [3]
    batch = answered(list("aaaa" + "aaab" + "abcd" + "z"), groups)
    slot = SemanticEntropyScale(form=form, alpha=0.8)
    found = slot.clusters(batch)
    factor = slot.factor(found, found.entropy())
    sure, doubtful, scattered, lone = (factor[groups.index(group)] for group in range(4))
    assert sure == lone == 1
    assert 1 > doubtful > scattered
    wanted = {"linear": 0.2, "exp": math.exp(-0.8), "reciprocal": 1 / 1.8}[form]
    assert float(scattered) == pytest.approx(wanted)


def test_seed_grpo_without_strength_is_the_centred_reward():
    batch = answered(["a", "b", "a", "c"])
    batch = replace(batch, returns_B=torch.tensor([1.0, 0, 0, 1], dtype=torch.float64))
    plain = estimate_advantages(get("dr_grpo"), batch).advantages
    close(estimate_advantages(get("seed_grpo", alpha=0.0), batch).advantages, plain)
    half = estimate_advantages(get("seed_grpo", alpha=1.0), batch).advantages / plain
    assert half.max() == half.min() < 1


def test_likelihoods_are_normalised_over_the_group():
    """Cluster a holds 0.5 + 0.25, b the rest: -(ln 0.75 + ln 0.25) / 2, whatever the scale."""
    found = AnswerClusters()(answered(["a", "b", "a"]))
    logs = torch.tensor([0.5, 0.25, 0.25]).log()
    wanted = -(math.log(0.75) + math.log(0.25)) / 2
    for offset in (0.0, -2000.0):
        close(likelihood_entropy(found, logs.double() + offset), [wanted] * 3)
    assert get("seed_grpo", semantic_entropy="likelihood").requires >= {Stat.OLD_LOGPROBS}


@pytest.mark.parametrize("name", ["empo", "ttrl", "ettrl", "seed_grpo"])
def test_transcripts_stand_in_where_no_episode_answers(name, make_batch):
    batch = replace(make_batch(), answers_B=torch.full((10,), -1), index_B=torch.arange(10))
    advantages = estimate_advantages(get(name), batch).advantages
    assert torch.isfinite(advantages).all()
    with pytest.raises(StatisticMissing, match="final_answer"):
        estimate_advantages(get(name, answers="final"), batch)


@pytest.mark.parametrize("slot", [ClusterFrequency(), MajorityLabel(train=2)])
def test_what_the_votes_say_is_left_for_the_report(slot):
    batch = answered(["a", "b", "a", "a", "c", "d"], [1, 1, 1, 1, 2, 2])
    success = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    told = report(noted(slot(replace(batch, components={"success": success})).notes))
    share = (4 * 3 / 4 + 2 * 1 / 2) / 6
    assert told["vote/majority_share"] == pytest.approx(share)
    assert told["vote/majority_success"] == pytest.approx((1 + 1 + 0 + 1) / 4)  # a, a, a, c
    untold = report(noted(slot(replace(batch, components={})).notes))
    assert set(untold) == {"vote/majority_share"}
