"""Advantages against hand-computed cases and plain loops."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Algorithm, Batch, Stat, estimate_advantages, get
from agentrl.algorithms.advantages.group import (
    EpisodeReturn,
    GroupRelative,
    LeaveOneOut,
    LengthWeightedBaseline,
)
from agentrl.algorithms.advantages.tokens import GAE, RewardToGo, Whiten
from agentrl.algorithms.filters.standard import DropTruncated, DropUniformGroups
from agentrl.algorithms.rewards.shaping import KLInReward, OverlongPenalty


def spec(advantage, **slots):
    return Algorithm(name="test", advantage=advantage, **slots)


def small(returns, groups, episodes=None, lengths=None, **fields):
    lengths = lengths or [2] * len(returns)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)).double()
    return Batch(
        mask_BT=mask,
        groups_B=torch.tensor(groups),
        episodes_B=torch.tensor(episodes or list(range(len(returns)))),
        returns_B=torch.tensor(returns, dtype=torch.float64),
        turns_BT=torch.zeros_like(mask).long(),
        **fields,
    )


def per_row(batch):
    return batch.advantages[:, 0].tolist()


def test_grpo_by_hand():
    batch = small([1.0, 0.0, 0.0, 1.0, 3.0], [0, 0, 1, 1, 1])
    result = per_row(estimate_advantages(spec(GroupRelative(epsilon=0.0)), batch))
    expected = [math.sqrt(0.5), -math.sqrt(0.5)]
    mean, std = 4 / 3, statistics.stdev([0.0, 1.0, 3.0])
    expected += [(value - mean) / std for value in (0.0, 1.0, 3.0)]
    assert result == pytest.approx(expected)


def test_dr_grpo_leaves_the_deviation_out():
    batch = small([1.0, 0.0, 0.0, 1.0], [0, 0, 0, 0])
    assert per_row(estimate_advantages(get("dr_grpo"), batch)) == [0.5, -0.5, -0.5, 0.5]


def test_rloo_subtracts_the_mean_of_the_others():
    returns = [1.0, 0.0, 4.0, 2.5]
    batch = small(returns, [3, 3, 3, 3])
    others = [
        value - statistics.mean(returns[:i] + returns[i + 1 :]) for i, value in enumerate(returns)
    ]
    assert per_row(estimate_advantages(spec(LeaveOneOut()), batch)) == pytest.approx(others)


def test_batch_scale_divides_by_the_deviation_of_all_episodes():
    returns = [1.0, 0.0, 4.0, 2.0]
    batch = small(returns, [0, 0, 1, 1])
    result = estimate_advantages(spec(GroupRelative(scale="batch", epsilon=0.0)), batch)
    std = statistics.stdev(returns)
    assert per_row(result) == pytest.approx([0.5 / std, -0.5 / std, 1 / std, -1 / std])


@pytest.mark.parametrize(
    "step", [GroupRelative(), GroupRelative(scale="none"), LeaveOneOut(), LengthWeightedBaseline()]
)
def test_splitting_an_episode_into_rows_changes_nothing(step):
    one = small([1.0, 0.0, 0.5], [0, 0, 0], lengths=[4, 2, 2])
    cut = small([1.0, 1.0, 0.0, 0.5], [0, 0, 0, 0], episodes=[0, 0, 1, 2], lengths=[3, 1, 2, 2])
    whole = per_row(estimate_advantages(spec(step), one))
    parts = per_row(estimate_advantages(spec(step), cut))
    assert parts == pytest.approx([whole[0], *whole])


def test_rows_as_samples_weigh_long_episodes_more():
    cut = small([1.0, 1.0, 0.0], [0, 0, 0], episodes=[0, 0, 1])
    step = GroupRelative(scale="none", samples="rows")
    assert per_row(estimate_advantages(spec(step), cut)) == pytest.approx([1 / 3, 1 / 3, -2 / 3])


def test_equal_returns_give_exactly_zero_even_in_float32():
    batch = small([0.1] * 7, [0] * 7)
    batch = replace(batch, returns_B=batch.returns_B.float())
    assert per_row(estimate_advantages(spec(GroupRelative()), batch)) == [0.0] * 7


def test_a_lone_episode_keeps_its_return_or_is_silenced():
    batch = small([3.0], [0])
    assert per_row(estimate_advantages(spec(GroupRelative(scale="none")), batch)) == [3.0]
    silent = GroupRelative(scale="none", lone="zero")
    assert per_row(estimate_advantages(spec(silent), batch)) == [0.0]


def test_episodes_without_tokens_do_not_enter_the_statistics():
    batch = small([1.0, 0.0, 100.0], [0, 0, 0], lengths=[2, 2, 0])
    result = per_row(estimate_advantages(spec(GroupRelative(scale="none")), batch))
    assert result == [0.5, -0.5, 0.0]


def test_whitened_advantages_have_mean_zero_and_unit_variance(make_batch):
    batch = estimate_advantages(spec(EpisodeReturn(), transforms=(Whiten(),)), make_batch())
    values = batch.advantages[batch.valid_BT]
    assert float(values.mean()) == pytest.approx(0, abs=1e-9)
    assert float(values.var()) == pytest.approx(1, abs=1e-6)


def _lines(batch):
    """Yield (rewards, values, positions) of each episode's valid tokens in order, by loops."""
    for episode in dict.fromkeys(batch.episodes_B.tolist()):
        rows = [row for row in range(len(batch.mask_BT)) if batch.episodes_B[row] == episode]
        rows.sort(key=lambda row: int(batch.turns_BT[row, 0]))
        spots = [(r, t) for r in rows for t in range(batch.mask_BT.shape[1]) if batch.mask_BT[r, t]]
        yield spots


def test_reward_to_go_equals_a_plain_loop_over_each_episode(make_batch):
    batch = make_batch()
    gamma = 0.9
    result = estimate_advantages(spec(RewardToGo(gamma=gamma)), batch).advantages
    for spots in _lines(batch):
        running = 0.0
        for row, column in reversed(spots):
            running = float(batch.rewards_BT[row, column]) + gamma * running
            assert float(result[row, column]) == pytest.approx(running)


def test_gae_equals_a_plain_loop_over_each_episode(make_batch):
    batch = make_batch()
    gamma, lam = 0.9, 0.7
    result = estimate_advantages(spec(GAE(gamma=gamma, lam=lam)), batch)
    values = batch.stats[Stat.OLD_VALUES]
    for spots in _lines(batch):
        following, running = 0.0, 0.0
        for row, column in reversed(spots):
            value = float(values[row, column])
            delta = float(batch.rewards_BT[row, column]) + gamma * following - value
            running = delta + gamma * lam * running
            following = value
            assert float(result.advantages[row, column]) == pytest.approx(running)
            assert float(result.value_targets_BT[row, column]) == pytest.approx(running + value)


def test_without_token_rewards_the_return_is_paid_at_the_last_token_of_the_episode(make_batch):
    batch = replace(make_batch(), rewards_BT=None)
    result = estimate_advantages(spec(RewardToGo(gamma=0.5)), batch).advantages
    for spots in _lines(batch):
        for distance, (row, column) in enumerate(reversed(spots)):
            wanted = float(batch.returns_B[row]) * 0.5**distance
            assert float(result[row, column]) == pytest.approx(wanted)


def test_gae_with_lambda_one_is_reward_to_go_minus_value(make_batch):
    batch = make_batch()
    gae = estimate_advantages(spec(GAE(gamma=0.9, lam=1.0)), batch).advantages
    sums = estimate_advantages(spec(RewardToGo(gamma=0.9)), batch).advantages
    values = torch.where(batch.valid_BT, batch.stats[Stat.OLD_VALUES], 0.0)
    torch.testing.assert_close(gae, sums - values)


def test_kl_in_reward_lowers_token_rewards_and_the_return_alike(make_batch):
    batch = make_batch()
    shape = KLInReward(coefficient=0.1)
    old, ref = batch.stats[Stat.OLD_LOGPROBS], batch.stats[Stat.REF_LOGPROBS]
    shaped = estimate_advantages(spec(EpisodeReturn(), reward_shaping=(shape,)), batch)
    for spots in _lines(batch):
        cost = sum(0.1 * float(old[spot] - ref[spot]) for spot in spots)
        for row, column in spots:
            assert float(shaped.returns_B[row]) == pytest.approx(float(batch.returns_B[row]) - cost)
            paid = float(batch.rewards_BT[row, column]) - float(shaped.rewards_BT[row, column])
            assert paid == pytest.approx(0.1 * float(old[row, column] - ref[row, column]))


@pytest.mark.parametrize(
    ("floor", "expected"), [(True, [0.0, 0.0, -0.25, -1.0, -1.0]), (False, [0, 0, -0.25, -1, -1.5])]
)
def test_overlong_penalty_by_hand(floor, expected):
    batch = small([0.0] * 5, [0] * 5, lengths=[1, 6, 7, 10, 12])
    shape = OverlongPenalty(max_tokens=10, buffer_tokens=4, floor=floor)
    shaped = estimate_advantages(spec(EpisodeReturn(), reward_shaping=(shape,)), batch)
    assert shaped.returns_B.tolist() == expected
    assert shaped.rewards_BT.sum(-1).tolist() == expected
    assert shaped.outcomes_B.tolist() == [0.0] * 5


def test_overlong_penalty_counts_all_rows_of_an_episode():
    batch = small([0.0, 0.0], [0, 0], episodes=[5, 5], lengths=[6, 3])
    shape = OverlongPenalty(max_tokens=10, buffer_tokens=4)
    shaped = estimate_advantages(spec(EpisodeReturn(), reward_shaping=(shape,)), batch)
    assert shaped.returns_B.tolist() == [-0.75, -0.75]


def test_uniform_groups_are_dropped_by_outcome_not_by_shaped_return():
    batch = small([0.0, 0.0, 1.0, 0.0, 7.0], [0, 0, 1, 1, 2], lengths=[9, 2, 2, 2, 2])
    shape = OverlongPenalty(max_tokens=10, buffer_tokens=4)
    algorithm = spec(GroupRelative(), reward_shaping=(shape,), group_filter=DropUniformGroups())
    filtered = estimate_advantages(algorithm, batch)
    assert filtered.valid_BT.any(-1).tolist() == [False, False, True, True, True]


def test_truncated_episodes_count_in_the_statistics_but_learn_nothing():
    batch = small([1.0, 0.0], [0, 0], truncated_B=torch.tensor([False, True]))
    algorithm = spec(GroupRelative(scale="none"), sample_filters=(DropTruncated(),))
    filtered = estimate_advantages(algorithm, batch)
    assert per_row(filtered) == [0.5, 0.0]
    assert filtered.valid_BT.any(-1).tolist() == [True, False]
