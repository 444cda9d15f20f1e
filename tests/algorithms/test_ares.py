"""ARES: windows, words, scores, and what follows the run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Stat, controllers, estimate_advantages, get
from agentrl.algorithms.regularisers.bucket_kl import Beta, BucketBetas, BucketKL
from agentrl.algorithms.rewards.entropy_control import EntropyControl
from agentrl.algorithms.rewards.entropy_score import (
    EntropyScore,
    MeanRewardBand,
    ScoreShape,
    buckets,
)
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.rewards.self_reward import MajorityLabel
from agentrl.algorithms.rewards.window_entropy import (
    WindowEntropy,
    candidate_entropy,
    plain_word,
    released_percentile,
)
from agentrl.errors import ConfigError, StatisticMissing
from tests.algorithms.reward_batches import played

LAYOUTS = pytest.mark.parametrize("layout", ["full", "window"])
WORDS = ("word7", "word9")


@LAYOUTS
def test_windows_are_the_following_tokens_of_the_same_turn(layout):
    turns = [[[1, 2, 3, 8], [4, 5]], [[7, 9, 5]]]
    batch = played(turns, [0, 0], layout=layout)
    found = WindowEntropy(window=2).means(batch)
    nan = math.nan
    wanted = {(0, 0): [0.25, 0.55, nan, nan], (0, 1): [nan, nan], (1, 0): [0.7, nan, nan]}
    for (episode, turn), values in wanted.items():
        at = (batch.episodes_B.unsqueeze(-1) == episode) & (batch.turns_BT == turn)
        have = found[at & batch.valid_BT]
        torch.testing.assert_close(have, torch.tensor(values).double(), equal_nan=True)


@LAYOUTS
def test_words_count_where_what_follows_is_uncertain(layout):
    turns = [[[7, 2, 3], [9, 8, 8]], [[1, 8, 8], [7, 9, 9]]]
    batch = played(turns, [0, 0], layout=layout)
    counts = WindowEntropy(window=2, words=WORDS).counts(batch, 0.5)
    assert counts.tolist() == torch.tensor([1, 1])[batch.episodes_B].tolist()
    assert WindowEntropy(window=2, words=()).counts(batch, 0.0).sum() == 0


def test_words_are_read_without_marks_and_need_a_tokenizer():
    assert [plain_word(text) for text in ("\u0120Wait", "\u2581So", " but\n")] == [
        "wait",
        "so",
        "but",
    ]
    batch = replace(played([[[1]]], [0]), token_text=None)
    with pytest.raises(StatisticMissing, match="token_text"):
        WindowEntropy().spoken(batch)


@LAYOUTS
def test_the_threshold_is_the_median_of_percentiles(layout):
    """Windows of one token: 2 4 | 6 and 8, and an episode without any."""
    turns = [[[1, 2, 4], [1, 6]], [[1, 8]], [[5]]]
    batch = played(turns, [0] * 3, layout=layout)
    slot = WindowEntropy(window=1, percentile=50)
    assert slot.threshold(batch) == pytest.approx((0.4 + 0.8) / 2)
    assert slot.threshold(batch.keep(batch.episodes_B == 2)) is None


def test_the_rest_of_the_candidates_is_one_more():
    half = math.log(0.5)
    assert candidate_entropy([half, half]) == pytest.approx(math.log(2))
    assert candidate_entropy([half]) == pytest.approx(math.log(2))


def test_the_released_percentile_repeats_the_mean_at_the_end():
    assert released_percentile([1.0, 2.0, 6.0], 2, 100) == pytest.approx(4.0)
    assert released_percentile([3.0], 2) == 3.0
    assert released_percentile([], 2) == 0.0


def test_buckets_by_the_accuracy_of_the_group():
    paid = [1, 1, 0, 1, 0, 0, 0, 0, 0]
    batch = played([[[1]]] * 9, [0, 0, 0, 1, 1, 1, 2, 2, 2], returns=paid)
    assert buckets(batch, Truth()).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def score(count, target, alpha, bucket, right):
    tensors = (torch.tensor(float(value), dtype=torch.float64) for value in (count, target, alpha))
    return float(ScoreShape()(*tensors, torch.tensor(bucket), torch.tensor(right)))


def test_scores_by_hand():
    assert score(4, 0, 1.0, 0, True) == pytest.approx(-2 / 3)  # over 3, hub 2, margin 1
    assert score(2, 5, 0.5, 0, True) == 0  # fewer words are never taxed when easy
    assert score(0, 5, 0.5, 1, True) == pytest.approx(-(3.75 - 1.5) / 4.25 * 0.5)
    assert score(3, 3, 1.0, 2, True) == pytest.approx(1.2 / (1 + math.exp(-1.05 / 3)))
    assert score(0, 9, 1.0, 2, True) == pytest.approx(-(5.85 - 2) / (3.15 + 4) / 2 * 1.2)
    for bucket, share in enumerate((0.6, 0.8, 1.2)):
        assert score(0, 9, 1.0, bucket, False) == pytest.approx(share / 2)


@pytest.mark.parametrize("bucket", [0, 1, 2])
@pytest.mark.parametrize("right", [True, False])
def test_scores_stay_within_their_cap_and_vanish_without_strength(bucket, right):
    cap = 0.7 * (1, 1, 1.2)[bucket]
    for count in range(0, 60, 3):
        assert abs(score(count, 20, 0.7, bucket, right)) <= cap + 1e-12
        assert score(count, 20, 0.0, bucket, right) == 0


def hard_batch():
    """One easy and one hard group; word7 before an uncertain turn is spoken by episodes 1 and 3."""
    turns = [[[1, 8, 8]], [[7, 8, 8]], [[1, 8, 8]], [[7, 8, 8]], [[1, 8, 8]], [[1, 8, 8]]]
    return played(turns, [0, 0, 1, 1, 1, 1], returns=[1, 1, 0, 1, 0, 0])


def slot(**settings):
    windows = WindowEntropy(window=2, words=WORDS)
    return EntropyScore(windows=windows, threshold=0.5, **settings)


def test_difficulties_are_found_before_scores():
    """Targets are round(1/2) = 0 and round(1/4) = 0; episode 3 is right and hard."""
    batch = hard_batch()
    sig = 1 / (1 + math.exp(-2 / 3))
    wanted = [0, 0, 0.3, 0.6 * sig, 0.3, 0.3]
    torch.testing.assert_close(slot().scores(batch), torch.tensor(wanted).double())
    shaped = slot()(batch)
    torch.testing.assert_close(shaped.returns_B - batch.returns_B, torch.tensor(wanted).double())
    assert shaped.rewards_BT.sum(-1).tolist() == shaped.returns_B.tolist()


def test_the_released_order_scores_everyone_as_easy():
    released = slot(by_difficulty=False, alphas=(2.0, 2.0, 2.0)).scores(hard_batch())
    wanted = [0, 0, 0.15, 0, 0.15, 0.15]
    torch.testing.assert_close(released, torch.tensor(wanted).double())
    assert get("ares", variant="released").reward_shaping[0].by_difficulty is False


def test_groups_whose_mean_return_is_at_an_end_are_dropped():
    batch = played([[[1]]] * 6, [0, 0, 1, 1, 2, 2], returns=[1, 1, 1, 0, 0, 0])
    kept = MeanRewardBand()(batch).valid_BT.any(-1)
    assert kept.tolist() == [False, False, True, True, False, False]


def test_self_labels_are_rejected():
    with pytest.raises(ConfigError, match="EntropyScore needs to know"):
        get("ares", reward=MajorityLabel())
    settings = {"allow_self_labels": True, "correctness": "reward"}
    assert get("ares", reward=MajorityLabel(), **settings).reward == MajorityLabel()


# What follows the run


def running(algorithm):
    state = controllers.start(algorithm)
    return state, [item.state_dict() for item in state]


def test_the_threshold_follows_slowly_and_from_the_next_update_on():
    algorithm = get("ares", window=1, trigger_words=list(WORDS))
    first, second = played([[[1, 4]]], [0]), played([[[1, 8]]], [0])
    state, _ = running(algorithm)
    used = []
    for batch in (first, second, second):
        controllers.see(state, batch)
        used.append(controllers.apply(state, algorithm).reward_shaping[0].threshold)
    assert used == pytest.approx([0.4, 0.4, 0.99 * 0.4 + 0.01 * 0.8])


def test_strengths_move_by_what_rounding_leaves():
    """Mean counts: easy 1/2, hard 1/4; targets 0."""
    algorithm = get("ares", window=2, trigger_words=WORDS, threshold=0.5)
    (control, _), _ = running(algorithm)
    control.see(hard_batch())
    assert control.alphas == pytest.approx((0.5 + 0.05 / 2, 0.5, 0.5 - 0.05 / 4))
    assert control.apply(algorithm).reward_shaping[0].alphas == control.alphas


def test_betas_rise_above_the_target_and_fall_below_it():
    settings = BucketBetas(interval=2)
    for measured, sign in ((1.0, 1), (0.001, -1), (0.0101, 0)):
        state = Beta()
        settings.step(state, measured, 1)
        assert state.beta == 1  # not yet
        settings.step(state, measured, 2)
        assert math.copysign(1, state.beta - 1) == sign if sign else state.beta == 1
    state = Beta(error=100.0)
    settings.step(state, 1.0, 2)
    assert state.beta == pytest.approx(math.exp(0.05 * 0.2))


@LAYOUTS
def test_the_kl_of_each_bucket_is_measured_over_episodes(layout):
    turns = [[[1, 1], [1]], [[1], [1]], [[2], [2, 2]], [[1], [1]]]
    batch = played(turns, [0, 0, 1, 1], returns=[1, 1, 0, 0], layout=layout)
    old = torch.zeros_like(batch.mask_BT)
    ref = torch.where(batch.ids_BT == 2, -0.3, 0.0).double()
    batch = BucketKL()(batch.with_stats({Stat.OLD_LOGPROBS: old, Stat.REF_LOGPROBS: ref}))
    control = BucketBetas().start(get("ares"))
    control.observe({}, batch)
    easy, medium, hard = control.states
    assert easy.kl == 0 and medium.kl is None
    assert hard.kl == pytest.approx((math.exp(-0.3) + 0.3 - 1) / 2)


def test_states_survive_json(make_batch):
    algorithm = get("ares", threshold=0.2, window=1, trigger_words=("word1", "word7"))
    state, fresh = running(algorithm)
    for _ in range(2):
        batch = replace(make_batch(), stats=make_batch().stats)
        controllers.see(state, batch)
        current = controllers.apply(state, algorithm)
        controllers.observe(state, {"updates": 1.0}, estimate_advantages(current, batch))
    saved = [item.state_dict() for item in state]
    assert saved[0] != fresh[0] and saved[1] != fresh[1]
    copy = controllers.start(algorithm)
    for item, values in zip(copy, json.loads(json.dumps(saved)), strict=True):
        item.load_state_dict(values)
    assert controllers.apply(copy, algorithm) == controllers.apply(state, algorithm)
    assert [item.state_dict() for item in copy] == saved


@pytest.mark.parametrize(
    "controller, lacking", [(EntropyControl(), "EntropyScore"), (BucketBetas(), "BucketKL")]
)
def test_controllers_need_what_they_steer(controller, lacking):
    with pytest.raises(ConfigError, match=lacking):
        get("grpo", controllers=(controller,))
