"""GTPO's conflict tokens and entropy filter; APO's weights by difficulty and length."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import (
    Normaliser,
    Stat,
    controllers,
    estimate_advantages,
    get,
    policy_loss,
)
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.rewards.self_reward import MajorityLabel
from agentrl.algorithms.transforms.difficulty import (
    DifficultyKL,
    LongWrong,
    dads_weight,
    stcr_weight,
)
from agentrl.algorithms.weights.conflicts import ConflictTokens, ConflictWeight, EntropyFilter
from agentrl.algorithms.weights.initial_entropy import InitialEntropy
from agentrl.errors import ConfigError
from tests.algorithms.reward_batches import played

LAYOUTS = pytest.mark.parametrize("layout", ["full", "window"])


def with_advantages(batch, advantages):
    """Give every episode one advantage."""
    per_row = torch.tensor(advantages, dtype=torch.float64)[batch.episodes_B].unsqueeze(-1)
    return replace(batch, advantages_BT=torch.where(batch.valid_BT, per_row, 0.0))


def weights_by_turn(batch, advantages):
    """Return lambda by episode and turn, as lists."""
    notes = ConflictTokens()(with_advantages(batch, advantages)).notes
    found: dict[tuple[int, int], list[float]] = {}
    for row, column in batch.valid_BT.nonzero().tolist():
        key = int(batch.episodes_B[row]), int(batch.turns_BT[row, column])
        found.setdefault(key, []).append(float(notes["conflict_weight"][row, column]))
    return found


# GTPO


@LAYOUTS
def test_runs_are_aligned_turn_by_turn(layout):
    """Both begin with 1 2; in the second turn they share the end 7 8, at other offsets."""
    turns = [[[1, 2, 3], [5, 7, 8]], [[1, 2, 4, 9], [6, 6, 7, 8]]]
    found = weights_by_turn(played(turns, [0, 0], layout=layout), [1.0, -1.0])
    assert found == {
        (0, 0): [2, 2, 1],
        (0, 1): [1, 2, 2],
        (1, 0): [0, 0, 1, 1],
        (1, 1): [1, 1, 0, 0],
    }


def test_a_token_in_both_runs_is_doubled_twice():
    batch = played([[[4, 5]], [[4, 5]], [[4, 5]]], [0, 0, 0])
    found = weights_by_turn(batch, [1.0, -1.0, 0.0])
    assert found == {(0, 0): [4, 4], (1, 0): [0, 0], (2, 0): [1, 1]}


def test_a_run_ends_at_the_first_token_that_is_not_shared():
    batch = played([[[1, 2, 3, 4]], [[1, 9, 3, 5]]], [0, 0])
    assert weights_by_turn(batch, [1.0, -1.0])[0, 0] == [2, 1, 1, 1]


@pytest.mark.parametrize("advantages", [[1.0, 0.5, 2.0, 3.0], [-1.0, 0, -2.0, -1.0], [0.0] * 4])
def test_without_both_signs_in_a_group_every_weight_is_one(advantages, make_batch):
    batch = played([[[1, 2]], [[1, 2]], [[1, 3]], [[1, 2]]], [0, 0, 1, 1])
    assert {w for row in weights_by_turn(batch, advantages).values() for w in row} == {1.0}


def test_groups_do_not_meet_and_masked_tokens_take_no_part():
    batch = played([[[1, 2]], [[1, 2]]], [0, 1])
    assert weights_by_turn(batch, [1.0, -1.0]) == {(0, 0): [1, 1], (1, 0): [1, 1]}
    batch = played([[[9, 1, 2]], [[1, 2]]], [0, 0])
    masked = batch.keep(torch.tensor([[False, True, True], [True, True, True]]))
    assert weights_by_turn(masked, [1.0, -1.0]) == {(0, 0): [4, 4], (1, 0): [0, 0]}
    assert (ConflictTokens()(with_advantages(masked, [1.0, -1.0])).notes["conflicts"] == 2).all()


def test_the_order_of_rows_changes_no_weight():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 3, (8, 3, 4), generator=generator).tolist()
    batch = played(tokens, [0, 0, 0, 0, 1, 1, 1, 1], layout="window")
    signs = [1.0, -1.0, 0.0, 1.0, -1.0, -1.0, 1.0, 0.0]
    order = torch.randperm(24, generator=generator)
    assert weights_by_turn(batch.rows(order), signs) == weights_by_turn(batch, signs)


@LAYOUTS
def test_dividing_by_conflicts_counts_the_longer_run_of_every_turn(layout):
    turns = [[[1, 2, 3], [7, 5, 8]], [[1, 2, 4, 9], [7, 6, 6, 8]]]
    batch = with_advantages(played(turns, [0, 0], layout=layout), [1.0, -1.0])
    noted = ConflictTokens()(batch)
    assert (noted.notes["conflicts"] == 3).all()

    class View:
        pass

    view = View()
    view.batch = noted
    plain, divided = ConflictWeight()(view), ConflictWeight(divide_by_conflicts=True)(view)
    torch.testing.assert_close(divided * 3, plain)


def test_uncertain_episodes_are_dropped_and_entropy_is_subtracted_from_the_others():
    batch = with_advantages(played([[[1, 3]], [[8, 8]], [[5]]], [0, 0, 0]), [1.0, 1.0, 0.0])
    shaped = EntropyFilter()(batch).advantages
    torch.testing.assert_close(shaped[:, 0], torch.tensor([0.98, 0.0, -0.05]).double())
    everyone = EntropyFilter(active=False)(batch).advantages
    torch.testing.assert_close(everyone[1, 0], torch.tensor(0.92).double())


@pytest.mark.parametrize("tokens, active", [([[2]], True), ([[9]], False)])
def test_the_first_rollout_decides_about_the_filter_for_good(tokens, active):
    algorithm = get("gtpo")
    running = controllers.start(algorithm)
    assert controllers.requires(running) == {Stat.OLD_ENTROPY}
    controllers.see(running, played([tokens], [0]))
    controllers.see(running, played([[[1]]], [0]))
    assert controllers.requires(running) == frozenset()
    copy = controllers.start(algorithm)
    copy[0].load_state_dict(json.loads(json.dumps(running[0].state_dict())))
    for state in (running, copy):
        assert controllers.apply(state, algorithm).transforms[1].active is active


def test_the_released_variant_never_looks_at_the_first_rollout():
    algorithm = get("gtpo", variant="released")
    assert algorithm.controllers == ()
    assert algorithm.transforms[1].threshold == 0.7
    with pytest.raises(ConfigError, match="EntropyFilter"):
        replace(algorithm, transforms=(), token_weights=(), controllers=(InitialEntropy(),))


# APO


def test_the_kl_weight_falls_with_difficulty_and_is_one_at_both_ends():
    weight = dads_weight(torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64))
    assert weight[0] == weight[4] == 1
    assert weight[1] > weight[2] > weight[3]
    assert float(weight[2]) == pytest.approx(1 - math.exp(-math.e / 2))


def test_a_thousand_tokens_too_many_are_one_percent():
    weight = stcr_weight(torch.tensor([1000.0, 0.0, -500.0], dtype=torch.float64), 1.00001)
    torch.testing.assert_close(weight, torch.tensor([1.00995, 1, 1]).double(), rtol=1e-5, atol=0)


@LAYOUTS
def test_only_long_wrong_episodes_weigh_more(layout):
    """Right ones have 2 and 4 tokens, so 3 is typical; wrong ones have 5 and 1."""
    turns = [[[1], [1]], [[1, 1], [1, 1]], [[1, 1, 1], [1, 1]], [[1]]]
    batch = played(turns, [0] * 4, returns=[1, 1, 0, 0], layout=layout)
    slot = LongWrong(base=2.0)
    lengths = torch.tensor([2, 4, 5, 1])[batch.episodes_B]
    wanted = torch.tensor([1, 1, 2 - 0.25, 1], dtype=torch.float64)
    torch.testing.assert_close(slot.factor(batch, lengths), wanted[batch.episodes_B])
    advantages = with_advantages(batch, [1.0, 1.0, -1.0, -1.0])
    scaled = slot(advantages).advantages / advantages.advantages
    assert scaled[batch.valid_BT].unique().tolist() == [1.0, 1.75]


def test_without_a_right_episode_length_does_not_matter():
    batch = played([[[1]], [[1, 1, 1]]], [0, 0])
    assert LongWrong(base=2.0).factor(batch, torch.tensor([1, 3])).tolist() == [1, 1]


def test_the_kl_term_is_weighted_by_row():
    batch = played([[[1, 2]], [[3]], [[4]], [[5]]], [0] * 4, returns=[1, 0, 0, 0])
    gap = torch.tensor([[0.1, 0.3], [0.2, 9], [0.4, 9], [0.5, 9]], dtype=torch.float64)
    old = torch.full((4, 2), -1.0, dtype=torch.float64)
    batch = batch.with_stats({Stat.OLD_LOGPROBS: old, Stat.REF_LOGPROBS: old - gap})
    algorithm = get("apo")
    batch = estimate_advantages(algorithm, batch)
    weight = 1 - math.exp(-math.e * 0.25)
    torch.testing.assert_close(
        batch.notes["kl_weight"], torch.tensor([weight, 1, 1, 1], dtype=torch.float64)
    )
    k3 = torch.expm1(-gap) + gap
    means = [k3[0].mean() * weight, k3[1, 0], k3[2, 0], k3[3, 0]]
    batch = batch.with_stats({Stat.LOGPROBS: old})
    loss = policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT))
    assert loss.metrics["loss/kl_ref"].total == pytest.approx(0.001 * float(sum(means)) / 4)


@pytest.mark.parametrize("slot", [LongWrong(), DifficultyKL()])
def test_a_made_up_reward_is_rejected_unless_it_may_stand_in(slot):
    assert slot.needs_truth and MajorityLabel.self_labelled
    with pytest.raises(ConfigError, match=r"MajorityLabel.*allow_self_labels"):
        replace(get("ttrl"), transforms=(slot,))
    stand_in = replace(slot, truth=Truth(correctness="reward", allow_self_labels=True))
    algorithm = replace(get("ttrl"), transforms=(stand_in,))
    batch = played([[[1]], [[1]], [[2]]], [0] * 3, answers=["a", "a", "b"])
    batch = batch.with_stats({Stat.OLD_LOGPROBS: -torch.ones(3, 1)})
    assert torch.isfinite(estimate_advantages(algorithm, batch).advantages).all()
    assert stand_in.truth.right(algorithm.reward(batch)).tolist() == [True, True, False]
