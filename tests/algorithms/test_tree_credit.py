"""Advantages on trajectory trees: by hand, against plain loops, and what they must be equal to."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Algorithm, Normaliser, Stat, estimate_advantages, get, policy_loss
from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.advantages.presets import CREDITS, base_advantage
from agentrl.algorithms.advantages.tree import SubtreeMean, SubtreeStep, TreeRelative
from agentrl.errors import ConfigError, StatisticMissing, UnknownNameError
from tests.algorithms.leaves import Forest, Leaf, by_place, credited, laid

SEEDS = range(15)
EPSILON = 1e-6
LONE = float(torch.ones(()) + EPSILON)  # the scale of a lone episode, in float32 as released

#       0 ── 1 ── 3   R = 1
#       │    └─── 4   R = 0
#       └─── 2        R = 4        and, apart from them,  5   R = 3
TREE = [
    Leaf(0, ((0, 2), (1, 1), (3, 1)), 1.0),
    Leaf(0, ((0, 2), (1, 1), (4, 2)), 0.0),
    Leaf(0, ((0, 2), (2, 3)), 4.0),
    Leaf(0, ((5, 2),), 3.0),
]  # mu_g = 2


def values(leaves, advantage):
    """Return the one advantage of every (episode, span), which all of its tokens must have."""
    batch = credited(leaves, advantage)
    found = by_place(batch, batch.advantages)
    assert all(len(set(numbers)) == 1 for numbers in found.values())
    return {key: numbers[0] for key, numbers in found.items()}


def per_span(leaves, advantage):
    """The same by span; all episodes that share one must agree to the last bit."""
    found: dict[int, float] = {}
    for (_, span), value in values(leaves, advantage).items():
        assert found.setdefault(span, value) == value
    return found


def test_the_mean_of_the_subtree_by_hand():
    third, half = 5 / 3, 0.5
    assert per_span(TREE, SubtreeMean(scale="none")) == pytest.approx(
        {0: third - 2, 1: half - 2, 2: 4 - 2, 3: 1 - 2, 4: 0 - 2, 5: 3 - 2}
    )
    sigma = statistics.stdev([1, 0, 4, 3])
    assert per_span(TREE, SubtreeMean(epsilon=0.5))[1] == pytest.approx((half - 2) / (sigma + 0.5))


def test_the_steps_by_hand():
    third, half = 5 / 3, 0.5
    expected = {0: third - 2, 1: half - third, 2: 4 - third, 3: 1 - half, 4: 0 - half, 5: 3 - 2}
    assert per_span(TREE, SubtreeStep(scale="none")) == pytest.approx(expected)
    both = per_span(TREE, SubtreeStep(scale="none", outcome_weight=0.5))
    mean = per_span(TREE, SubtreeMean(scale="none"))
    assert both == pytest.approx({span: expected[span] + 0.5 * mean[span] for span in expected})


def test_spans_between_two_forks_have_one_value():
    """Turns, observations and rows may cut a stretch into spans; nothing was decided there."""
    fine = [
        replace(leaf, path=(*((s, n) for span, size in leaf.path for s, n in _halves(span, size)),))
        for leaf in TREE
    ]
    for advantage in (SubtreeMean(), SubtreeStep(outcome_weight=0.3)):
        coarse, found = per_span(TREE, advantage), per_span(fine, advantage)
        assert found == {half: coarse[span] for span in coarse for half in (span, 100 + span)}


def _halves(span, size):
    return (span, size), (100 + span, 1)


def test_relative_to_the_tree_by_hand():
    found = values(TREE, TreeRelative(epsilon=0.0))
    group, tree = statistics.stdev([1, 0, 4, 3]), statistics.stdev([1, 0, 4])
    for episode, reward in enumerate([1, 0, 4]):
        expected = (reward - 2) / group + (reward - 5 / 3) / tree
        assert all(v == pytest.approx(expected) for (e, _), v in found.items() if e == episode)
    assert found[3, 5] == pytest.approx(1 / group)  # it shares nothing with another


def reference(leaves, advantage):
    """The definitions as loops over episodes; returns {(episode, span): advantage}."""
    found = {}
    for episode, leaf in enumerate(leaves):
        alive = [other for other in leaves if other.group == leaf.group and not other.dead]
        if leaf.dead:
            continue
        rewards = [other.value for other in alive]
        mean = statistics.fmean(rewards) if len(rewards) > 1 else 0.0
        scale = 1.0
        if advantage.scale == "group":
            scale = statistics.stdev(rewards) + EPSILON if len(rewards) > 1 else LONE
        through = [[o for o in alive if span in o.spans] for span, _ in leaf.path]
        worth = [statistics.fmean(o.value for o in others) for others in through]
        for place, (span, _) in enumerate(leaf.path):
            if place < leaf.given:
                continue
            if isinstance(advantage, SubtreeMean):
                number = worth[place] - mean
            else:
                wider = [p for p in range(place) if len(through[p]) > len(through[place])]
                parent = worth[wider[-1]] if wider else mean
                number = worth[place] - parent
                number += advantage.outcome_weight * (worth[place] - mean)
            found[episode, span] = number / scale
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "advantage",
    [
        SubtreeMean(),
        SubtreeMean(scale="none"),
        SubtreeStep(),
        SubtreeStep(scale="none", outcome_weight=0.7),
    ],
    ids=repr,
)
def test_random_forests_agree_with_plain_loops(seed, advantage):
    leaves = Forest(seed).awkward()
    assert values(leaves, advantage) == pytest.approx(reference(leaves, advantage), abs=1e-9)
    per_span(leaves, advantage)


def relative(value, values):
    """Return the advantage of GRPO."""
    if len(values) == 1:
        return value / LONE
    return (value - statistics.fmean(values)) / (statistics.stdev(values) + EPSILON)


@pytest.mark.parametrize("seed", SEEDS)
def test_tree_relative_agrees_with_plain_loops(seed):
    leaves = Forest(seed).awkward()
    alive = [leaf for leaf in leaves if not leaf.dead]
    expected = {}
    for episode, leaf in enumerate(leaves):
        if leaf.dead:
            continue
        group = [o.value for o in alive if o.group == leaf.group]
        tree = [o.value for o in alive if o.path[0] == leaf.path[0]]
        number = relative(leaf.value, group)
        if len(tree) > 1:
            number += relative(leaf.value, tree)
        expected |= {(episode, span): number for span, _ in leaf.trained}
    assert values(leaves, TreeRelative()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_without_branches_gets_the_advantages_of_grpo_exactly(seed, scale):
    leaves = [
        replace(leaf, path=((number, 2), (1000 + number, 1)), given=0, rows=1 + number % 2)
        for number, leaf in enumerate(Forest(seed).awkward())
    ]
    flat = credited(leaves, GroupRelative(scale=scale)).advantages
    assert torch.equal(credited(leaves, SubtreeMean(scale=scale)).advantages, flat)
    assert torch.equal(credited(leaves, SubtreeStep(scale=scale)).advantages, flat)
    if scale == "group":
        assert torch.equal(credited(leaves, TreeRelative(scale=scale)).advantages, flat)


@pytest.mark.parametrize("seed", SEEDS)
def test_soft_and_hard_attribution_agree_in_the_sum_over_episodes(seed):
    """Sum over the episodes of a span of GRPO's advantage = their number times the hard one."""
    leaves = [replace(leaf, given=0) for leaf in Forest(seed).awkward()]
    for scale in ("none", "group"):
        soft = values(leaves, GroupRelative(scale=scale))
        hard = per_span(leaves, SubtreeMean(scale=scale))
        for span, value in hard.items():
            shared = [number for (_, at), number in soft.items() if at == span]
            assert sum(shared) == pytest.approx(len(shared) * value, abs=1e-9)


def gradient_of_tokens(leaves, algorithm, spread):
    """Return the gradient in each stored token's log-prob, summed over those that share it."""
    batch = estimate_advantages(algorithm, laid(leaves, spread))
    logprobs = batch.stats[Stat.LOGPROBS].detach().requires_grad_()
    batch = batch.with_stats({Stat.LOGPROBS: logprobs})
    policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).value.backward()
    found = by_place(batch, logprobs.grad)
    sums: dict[int, torch.Tensor] = {}
    for (_, span), numbers in found.items():
        sums[span] = sums.get(span, torch.zeros(len(numbers))) + torch.tensor(numbers)
    return torch.cat([sums[span] for span in sorted(sums)])


@pytest.mark.parametrize("seed", SEEDS)
def test_on_policy_gradients_of_soft_and_hard_attribution_are_equal(seed):
    leaves = [replace(leaf, given=0) for leaf in Forest(seed).awkward()]
    flat, hard = get("arpo"), get("arpo", credit="subtree")
    soft = gradient_of_tokens(leaves, flat, spread=0.0)
    torch.testing.assert_close(gradient_of_tokens(leaves, hard, spread=0.0), soft)


def test_off_policy_the_clip_tells_them_apart():
    """A shared token that rose too far: half of its episodes clip, or all of them by the mean."""
    leaves = [
        Leaf(0, ((0, 1), (1, 1)), 3.0),
        Leaf(0, ((0, 1), (2, 1)), 0.0),
        Leaf(0, ((3, 1),), 0.0),
    ]
    flat, hard = get("arpo"), get("arpo", credit="subtree")
    soft = gradient_of_tokens(leaves, flat, spread=1.0)
    assert not torch.allclose(gradient_of_tokens(leaves, hard, spread=1.0), soft)


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_of_a_path_add_up_to_what_the_episode_is_worth(seed):
    leaves = [replace(leaf, given=0) for leaf in Forest(seed).leaves()]
    steps = values(leaves, SubtreeStep(scale="none"))
    means = values(leaves, SubtreeMean(scale="none"))
    for episode, leaf in enumerate(leaves):
        levels = {}
        for span, _ in leaf.path:
            levels[frozenset(o for o, other in enumerate(leaves) if span in other.spans)] = steps[
                episode, span
            ]
        last = leaf.path[-1][0]
        assert sum(levels.values()) == pytest.approx(means[episode, last], abs=1e-9)


ALL = [SubtreeMean(), SubtreeStep(outcome_weight=0.3), TreeRelative()]


@pytest.mark.parametrize("advantage", ALL, ids=repr)
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_without_valid_tokens_count_nowhere(seed, advantage):
    leaves = Forest(seed).awkward()
    left = [leaf for leaf in leaves if not leaf.dead]
    kept = iter(range(len(left)))
    number = {old: next(kept) for old, leaf in enumerate(leaves) if not leaf.dead}
    found = {(number[e], span): v for (e, span), v in values(leaves, advantage).items()}
    assert found == values(left, advantage)


@pytest.mark.parametrize("advantage", ALL, ids=repr)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_episode_counts_once_however_many_rows_it_has(seed, advantage):
    leaves = Forest(seed).awkward()
    whole = [replace(leaf, rows=1) for leaf in leaves]
    assert values(leaves, advantage) == values(whole, advantage)


@pytest.mark.parametrize("advantage", ALL, ids=repr)
@pytest.mark.parametrize("seed", SEEDS)
def test_neither_the_order_of_rows_nor_labels_matter(seed, advantage):
    batch = laid(Forest(seed).awkward())
    algorithm = Algorithm(name="test", advantage=advantage)
    plain = estimate_advantages(algorithm, batch).advantages
    order = torch.randperm(len(plain), generator=torch.Generator().manual_seed(seed))
    moved = estimate_advantages(algorithm, batch.rows(order)).advantages
    torch.testing.assert_close(moved, plain[order], rtol=0, atol=1e-12)
    renamed = replace(
        batch,
        groups_B=50 - batch.groups_B,
        episodes_B=1000 - 3 * batch.episodes_B,
        spans_BT=torch.where(batch.spans_BT < 0, -1, 10**12 - 5 * batch.spans_BT),
        given_BN=torch.where(batch.given_BN < 0, -1, 10**12 - 5 * batch.given_BN),
    )
    other = estimate_advantages(algorithm, renamed).advantages
    torch.testing.assert_close(other, plain, rtol=0, atol=1e-9)


def test_a_branch_that_was_given_its_beginning_still_counts_there():
    """CURE and ETTRL train the shared beginning in its first episode only."""
    apart = [replace(leaf, given=given) for leaf, given in zip(TREE, (0, 2, 1, 0), strict=True)]
    for advantage in (SubtreeMean(), SubtreeStep()):
        assert per_span(apart, advantage) == per_span(TREE, advantage)
    unaware = replace(laid(apart), given_BN=None)
    algorithm = Algorithm(name="test", advantage=SubtreeMean())
    wrong = estimate_advantages(algorithm, unaware).advantages
    assert not torch.allclose(wrong, credited(apart, SubtreeMean()).advantages)


def test_a_rollout_without_spans_is_refused():
    batch = replace(laid(TREE), spans_BT=None)
    with pytest.raises(StatisticMissing, match="spans_BT"):
        estimate_advantages(get("arpo", credit="step"), batch)


def test_advantages_are_found_by_name_and_by_the_setting_credit():
    assert get("dapo", advantage="subtree").advantage == SubtreeMean()
    spelled = {"name": "subtree-step", "outcome_weight": 0.5, "scale": "none"}
    step = SubtreeStep(outcome_weight=0.5, scale="none")
    assert get("grpo", advantage=spelled).advantage == step
    assert base_advantage("group") == get("arpo").advantage == GroupRelative()
    kinds = {
        "flat": GroupRelative,
        "subtree": SubtreeMean,
        "step": SubtreeStep,
        "tree": TreeRelative,
    }
    assert set(kinds) == set(CREDITS)
    for name in ("arpo", "aepo", "cure", "tree_grpo"):
        for credit, kind in kinds.items():
            assert type(get(name, credit=credit).advantage) is kind


@pytest.mark.parametrize(
    ("name", "overrides", "error", "message"),
    [
        ("arpo", {"credit": "hard"}, ConfigError, "`credit` is 'hard'.*flat, subtree, step"),
        ("grpo", {"advantage": "sub-tree"}, UnknownNameError, "Did you mean 'subtree'"),
        ("grpo", {"advantage": {"name": "subtree", "scal": 1}}, UnknownNameError, "'scale'"),
        ("grpo", {"advantage": {"name": "subtree", "scale": "all"}}, ConfigError, "scale"),
        ("grpo", {"advantage": {"scale": "none"}}, ConfigError, "`advantage`.*must have a `name`"),
        ("grpo", {"advantage": {"name": "tree", "epsilon": -1}}, ConfigError, "epsilon"),
        (
            "grpo",
            {"advantage": {"name": "subtree-step", "outcome_weight": -1}},
            ConfigError,
            "outcome_weight",
        ),
    ],
)
def test_a_wrong_name_or_value_is_named(name, overrides, error, message):
    with pytest.raises(error, match=message):
        get(name, **overrides)
