"""Policy cliffs: two rewards by hand, the theorem, clusters of answers, noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.analysis.policy_cliff import answer_key, bandit_diagnostic, boltzmann, clusters
from agentrl.analysis.sensitivity import Change, Group, sensitivity
from agentrl.errors import ConfigError
from tests.analysis.runs import tree_of


def test_two_rewards_by_hand():
    found = bandit_diagnostic([1.0, 0.5, 0.0], [0.5, 1.0, 0.0], alpha=0.5)
    e = math.e
    total = e**2 + e + 1
    assert found.gap == 0.5
    assert found.optimal == 1
    assert found.tv_hard == 1.0
    assert found.tv_soft == pytest.approx((e**2 - e) / total)
    assert found.soft_bound == pytest.approx(0.5 / (2 * 0.5))


def test_a_tie_that_breaks_is_a_cliff_for_the_greedy_policy_only():
    found = bandit_diagnostic([1.0, 1.0, 0.0], [1.0, 1.0 - 1e-6, 0.0], alpha=0.1)
    assert (found.gap, found.optimal, found.tv_hard) == (0.0, 2, 0.5)
    assert found.tv_soft < 1e-5


def test_the_discount_widens_the_bound():
    one = bandit_diagnostic([1.0, 0.0], [0.9, 0.0], alpha=0.1)
    other = bandit_diagnostic([1.0, 0.0], [0.9, 0.0], alpha=0.1, gamma=0.75)
    assert other.soft_bound == pytest.approx(4 * one.soft_bound)


rewards = st.lists(st.floats(-3, 3), min_size=1, max_size=8)


@given(rewards, st.floats(0.05, 2), st.integers(0, 99))
def test_boltzmann_policies_never_differ_by_more_than_the_theorem_says(one, alpha, seed):
    other = np.array(one) + np.random.default_rng(seed).uniform(-0.5, 0.5, len(one))
    found = bandit_diagnostic(one, other, alpha=alpha)
    assert found.tv_soft <= found.soft_bound + 1e-12


def test_large_rewards_do_not_overflow():
    assert boltzmann(np.array([1e6, 0.0]), 1e-3).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("one", "other", "settings"),
    [
        ([], [], {}),
        ([1.0], [1.0, 2.0], {}),
        ([1.0], [1.0], {"alpha": 0}),
        ([1.0], [1.0], {"gamma": 1.0}),
    ],
)
def test_nonsense_is_refused(one, other, settings):
    with pytest.raises(ConfigError):
        bandit_diagnostic(one, other, **settings)


def test_without_an_answer_the_sequence_of_actions_tells_episodes_apart():
    tree = tree_of([(["go north", "take coin"], 1.0), (["take coin", "go north"], 0.0)])
    tree.add_episode(stop=tree.episodes[0].stop, sequences=tree.episodes[0].sequences, reward=0.5)
    sizes = [len(cluster) for cluster in clusters(tree)]
    assert sizes == [2, 1]


def test_with_a_reference_answer_only_the_last_action_counts():
    tree = tree_of([(["think", " 42 "], 1.0), (["guess", "42"], 1.0)], answer="42")
    assert len(clusters(tree)) == 1
    assert answer_key(tree, tree.episodes[0]) == ("42",)


def test_an_answer_that_the_last_turn_carries_counts_before_actions():
    tree = tree_of([(["a", "b"], 1.0), (["c", "d"], 1.0)])
    for episode in tree.episodes:
        list(tree.model_nodes(episode))[-1].info["answer"] = "same"
    assert len(clusters(tree)) == 1


def test_failed_episodes_are_in_no_cluster():
    tree = tree_of([(["a"], 1.0)])
    tree.add_episode(stop="env_error")
    tree.episodes[-1].stop = type(tree.episodes[0].stop)("env_error")
    assert sum(map(len, clusters(tree))) == 1


def groups(*rewards):
    return [Group(np.array(one, dtype=float)) for one in rewards]


def test_shares_of_groups_by_hand():
    found = sensitivity(groups([1, 1, 0], [0, 0], [1, 0], [0]), Change(noise=1e-3, draws=50))
    assert found.groups == 4
    assert found.clusters == 2
    assert found.uniform == 0.5  # [0, 0] and the single cluster
    assert found.degenerate == 0.5  # [1, 1, 0] and [0, 0]
    assert found.contested == 0.5  # of [1, 1, 0] and [1, 0]


def test_only_ties_flip_under_small_noise_and_about_half_of_the_time():
    change = Change(noise=0.01, draws=2000)
    assert sensitivity(groups([1, 0]), change).flips == 0
    tied = sensitivity(groups([1, 1]), change)
    assert tied.flips == pytest.approx(0.5, abs=0.05)
    assert tied.tv_hard == 0.5
    assert math.isnan(tied.contested_flips)
    assert tied.tv_soft <= tied.bound <= 0.01 / 0.2


def test_noise_depends_on_seed_and_stream_only():
    many = groups([1, 1, 0.99], [0.5, 0.5])
    same = [sensitivity(many, Change(seed=3), stream=2) for _ in range(2)]
    assert same[0] == same[1]
    assert sensitivity(many, Change(seed=4), stream=2) != same[0]
    assert sensitivity(many, Change(seed=3), stream=1) != same[0]


def test_a_dropped_component_is_one_change_without_noise():
    group = Group(np.array([1.0, 0.8]), np.array([0.2, 0.8]))
    found = sensitivity([group], Change(alpha=0.5))
    assert found.flips == found.tv_hard == 1.0
    assert found.bound == pytest.approx(0.8)


def test_noise_moves_rewards_both_ways():
    change = Change(noise=0.01, draws=500)
    assert sensitivity(groups([1, 0.985]), change).flips > 0
    assert sensitivity(groups([1, 0.979]), change).flips == 0
