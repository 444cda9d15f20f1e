"""GiGPO and EMPG: plain loops, hand-computed numbers, special cases, both layouts."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import replace
from difflib import SequenceMatcher

import pytest
import torch

from agentrl.algorithms import estimate_advantages, get
from agentrl.algorithms.advantages.anchors import anchor_groups, clusters, similar
from agentrl.algorithms.advantages.group import EpisodeReturn
from agentrl.algorithms.advantages.steps import GroupInGroup
from agentrl.algorithms.rewards.invalid_actions import PENALTIES, InvalidActionPenalty
from agentrl.algorithms.steps import steps
from agentrl.algorithms.transforms.entropy_modulation import EntropyModulation, modulation
from agentrl.errors import StatisticMissing
from tests.algorithms.played import (
    LAYOUTS,
    Turn,
    by_step,
    estimated,
    played,
    random_plays,
    with_advantage,
)

# GiGPO


def relative(value, others, mode, lone):
    """Return x - mean or (x - mean) / (std + 1e-6), as the released code words it."""
    if len(others) == 1:
        mean, std = (0.0 if lone == "raw" else value), 1.0
    else:
        mean = sum(others) / len(others)
        std = math.sqrt(sum((x - mean) ** 2 for x in others) / (len(others) - 1))
    return (value - mean) / (1 if mode == "mean_norm" else std + 1e-6)


def gigpo_by_loops(plays, *, weight, gamma, mode, samples, penalty):
    scores, returns = {}, {}
    of_group, of_anchor = defaultdict(list), defaultdict(list)
    for episode, (group, turns) in enumerate(plays):
        for k, turn in enumerate(turns):
            charge = penalty * turn.invalid
            scores[episode, k] = sum(t.reward for t in turns) - charge
            later = enumerate(turns[k:])
            returns[episode, k] = sum(gamma**j * t.reward for j, t in later) - charge
            if samples == "steps" or k == 0:
                of_group[group].append(scores[episode, k])
            of_anchor[group, turn.anchor].append(returns[episode, k])
    result = {}
    for episode, (group, turns) in enumerate(plays):
        for k, turn in enumerate(turns):
            whole = relative(scores[episode, k], of_group[group], mode, "raw")
            near = of_anchor[group, turn.anchor]
            step = relative(returns[episode, k], near, mode, "zero")
            result[episode, k] = whole + weight * step
    return result


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("samples", ["steps", "episodes"])
@pytest.mark.parametrize("mode", ["mean_norm", "mean_std_norm"])
@pytest.mark.parametrize("seed", range(3))
def test_gigpo_equals_plain_loops_in_both_layouts(layout, samples, mode, seed):
    plays = random_plays(seed)
    settings = {"samples": samples, "mode": mode, "gamma": 0.9}
    algorithm = get("gigpo", step_weight=0.7, invalid_action_penalty=0.25, **settings)
    expected = gigpo_by_loops(plays, weight=0.7, penalty=0.25, **settings)
    assert estimated(plays, algorithm, layout) == pytest.approx(expected, abs=1e-9)


def test_gigpo_by_hand():
    """Returns 2 and 0; both start in state 7, the winner alone passes state 8."""
    plays = [(0, [Turn(7), Turn(8, reward=2.0)]), (0, [Turn(7)])]
    found = estimated(plays, get("gigpo", gamma=0.5))
    mean = (2 + 2 + 0) / 3  # two steps of the winner count
    assert found[0, 0] == pytest.approx((2 - mean) + (0.5 * 2 - 0.5))
    assert found[0, 1] == pytest.approx(2 - mean)
    assert found[1, 0] == pytest.approx((0 - mean) + (0 - 0.5))
    found = estimated(plays, get("gigpo", gamma=0.5, samples="episodes"))
    assert found[0, 1] == pytest.approx(2 - 1)


@pytest.mark.parametrize("mode", ["mean_norm", "mean_std_norm"])
def test_gigpo_with_distinct_anchors_is_the_episode_part(mode):
    plays = random_plays(1)
    for number, turn in enumerate(turn for _, turns in plays for turn in turns):
        turn.anchor = number
    whole = estimated(plays, get("gigpo", mode=mode))
    assert whole == pytest.approx(estimated(plays, get("gigpo", mode=mode, step_weight=0.0)))


@pytest.mark.parametrize("samples", ["steps", "episodes"])
def test_gigpo_with_one_turn_scales_the_episode_part(samples):
    plays = [(g, [Turn(g, reward=r)]) for g, r in ((0, 1.0), (0, 0.0), (1, 3.0), (0, 0.5), (1, 2))]
    episode = estimated(plays, get("gigpo", step_weight=0.0, samples=samples))
    both = estimated(plays, get("gigpo", step_weight=0.6, samples=samples))
    assert both == pytest.approx({key: 1.6 * value for key, value in episode.items()})
    grpo = estimated(plays, get("dr_grpo"))
    assert episode == pytest.approx(grpo)


def test_gigpo_steps_without_an_anchor_are_alone_and_a_batch_without_any_is_refused():
    plays = random_plays(2)
    for _, turns in plays[1:]:
        for turn in turns:
            turn.anchor = -1
    plays[0][1][:] = [Turn(3), Turn(-1)]
    found = estimated(plays, get("gigpo"))
    assert found == pytest.approx(estimated(plays, get("gigpo", step_weight=0.0)))
    plays[0][1][0].anchor = -1
    with pytest.raises(StatisticMissing, match="No step has an anchor"):
        estimated(plays, get("gigpo"))
    estimated(plays, get("gigpo", step_weight=0.0))


def test_a_lone_step_keeps_its_score():
    plays = [(0, [Turn(reward=4.0)])]
    assert estimated(plays, get("gigpo")) == {(0, 0): 4.0}
    found = estimated(plays, get("gigpo", mode="mean_std_norm"))
    assert found[0, 0] == pytest.approx(4 / (1 + 1e-6))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_invalid_turns_lower_rewards_and_return_and_leave_a_note(layout):
    plays = [(0, [Turn(entropies=(1, 1), invalid=True), Turn(reward=2.0)]), (0, [Turn()])]
    batch = played(plays, layout).clean()
    shaped = InvalidActionPenalty(coefficient=0.5)(batch)
    assert shaped.returns_B[batch.episodes_B == 0].unique().tolist() == [1.5]
    assert shaped.returns_B[batch.episodes_B == 1].tolist() == [0.0]
    assert float(shaped.rewards_BT.sum()) == 1.5
    assert float(shaped.rewards_BT[0, 1]) == -0.5
    torch.testing.assert_close(shaped.notes[PENALTIES], batch.rewards_BT - shaped.rewards_BT)


def test_clusters_compare_with_the_first_member_only():
    texts = ["aaaaaaaaaa", "aaaaaaaabb", "aaaaaabbbb", "aaaaaaaaaa", "zz"]
    assert clusters(texts, 0.8) == [0, 0, 1, 0, 2]  # the third resembles the second, not the first
    assert clusters(texts[1:], 0.8) == [0, 0, 0, 1]
    assert clusters(texts, 1.0) == [0, 1, 2, 0, 3]
    assert clusters([], 0.9) == []


def test_similarity_is_the_ratio_of_difflib():
    draw = random.Random(0)
    for _ in range(300):
        one, other = ("".join(draw.choices("ab c", k=draw.randint(0, 12))) for _ in range(2))
        ratio = SequenceMatcher(None, one, other).ratio()
        for threshold in (0.3, ratio, 0.9):
            assert similar(one, other, threshold) == (ratio >= threshold)


def test_similar_observations_of_one_group_share_a_step_advantage():
    texts = ("you are in room A.", "you are in room B.", "you hold a lamp.")
    plays = [(0, [Turn(0, reward=1.0)]), (0, [Turn(1)]), (0, [Turn(2)]), (1, [Turn(0)])]
    batch = played(plays, "full")
    batch = replace(batch, observations_BT=batch.anchors_BT, anchors_BT=None, texts=texts)
    index = steps(batch)
    labels = anchor_groups(batch, index, "similarity", 0.9).tolist()
    assert labels[0] == labels[1] and len(set(labels)) == 3
    assert len(set(anchor_groups(batch, index, "observation", 0.9).tolist())) == 4
    algorithm = get("gigpo", match="similarity", similarity=0.9)
    found = by_step(estimate_advantages(algorithm, batch))
    assert found[0, 0] == pytest.approx((1 - 1 / 3) + 0.5)
    with pytest.raises(StatisticMissing, match="anchors_BT"):
        estimate_advantages(get("gigpo"), batch)


# EMPG

EXAMPLE = [
    (0, [Turn(reward=1.0, entropies=(0.8, 1.0)), Turn(entropies=(0.3,)), Turn(entropies=(0.5,))]),
    (0, [Turn(reward=-1.0, entropies=(1.2,)), Turn(entropies=(0.1, 0.4, 0.7))]),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empg_worked_example(layout):
    step = EntropyModulation(clarity_weight=0.1)
    found = estimated(EXAMPLE, with_advantage(EpisodeReturn(), transforms=(step,)), layout)
    expected = {
        (0, 0): 0.469824, (0, 1): 1.130077, (0, 2): 0.771461,
        (1, 0): -0.772629, (1, 1): -1.598733,
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-6)


def test_empg_scale_has_mean_one_and_is_one_for_equal_entropies():
    entropy_S = torch.tensor([0.9, 0.3, 0.5, 1.2, 0.4], dtype=torch.float64)
    scale_S = modulation(entropy_S, 1.0)
    assert float(scale_S.mean()) == pytest.approx(1.0)
    expected = [0.717690, 1.397869, 1.119326, 0.514247, 1.250868]
    assert scale_S.tolist() == pytest.approx(expected, abs=1e-6)
    equal = modulation(torch.full((4,), 0.7, dtype=torch.float64), 2.0)
    assert equal.tolist() == pytest.approx([1.0] * 4)


@pytest.mark.parametrize("base", ["grpo", "dapo"])
@pytest.mark.parametrize("seed", range(3))
def test_empg_is_centred_over_steps_and_equal_in_both_layouts(base, seed):
    plays = random_plays(seed)
    window, full = (estimated(plays, get("empg", base=base), layout) for layout in LAYOUTS)
    assert window == pytest.approx(full)
    assert sum(full.values()) == pytest.approx(0.0, abs=1e-12)


def test_empg_gives_the_last_step_no_bonus():
    plays = [(0, [Turn(entropies=(h,)) for h in (0.2, 1.0, 0.4)]), (0, [Turn(entropies=(0.6,))])]
    step = EntropyModulation(scale_sharpness=0.0, clarity_weight=1.0)
    found = estimated(plays, with_advantage(EpisodeReturn(), transforms=(step,)))
    assert found[0, 2] == pytest.approx(found[1, 0])  # both last, both return 0
    bonus = math.exp(-1.0), math.exp(-0.25)  # of entropies 1.0 and 0.4 scaled to 1 and 0.25
    assert found[0, 0] - found[0, 2] == pytest.approx(bonus[0])
    assert found[0, 1] - found[0, 2] == pytest.approx(bonus[1])


def test_empg_with_one_turn_only_scales():
    plays = [(0, [Turn(reward=r, entropies=(h,))]) for r, h in ((1.0, 0.3), (0.0, 0.9), (0.5, 0.4))]
    found = estimated(plays, get("empg", clarity_weight=9.0))
    bare = torch.tensor(list(estimated(plays, get("grpo")).values()), dtype=torch.float64)
    scaled = bare * modulation(torch.tensor([0.3, 0.9, 0.4], dtype=torch.float64), 1.0)
    assert list(found.values()) == pytest.approx((scaled - scaled.mean()).tolist())


def test_gigpo_slot_reads_unshaped_rewards_without_a_penalty():
    plays = random_plays(0)
    settings = {"mode": "mean_norm", "gamma": 0.95, "samples": "steps"}
    expected = gigpo_by_loops(plays, weight=1.0, penalty=0.0, **settings)
    assert estimated(plays, with_advantage(GroupInGroup())) == pytest.approx(expected)
