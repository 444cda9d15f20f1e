"""The covariance monitor: tokens of trees, terms by hand, what entropy does on small policies."""

import math

import numpy as np
import pytest

from agentrl.analysis.covariance import (
    Tokens,
    agreement,
    covariance_terms,
    discriminator,
    group_advantages,
    step_covariance,
    tokens_of,
    top_share,
)
from agentrl.analysis.tools.covariance import by_place, by_turn
from agentrl.tree import StopReason
from tests.analysis.runs import tree_of


def tokens(logprobs, advantages, entropies=None, turns=None):
    count = len(logprobs)
    return Tokens(
        np.array(logprobs, dtype=float),
        np.array(entropies if entropies is not None else [0.5] * count, dtype=float),
        np.array(advantages, dtype=float),
        np.array(turns if turns is not None else [0] * count),
        np.arange(count) / count,
    )


def test_advantages_of_a_group_are_standardised_with_n_minus_1():
    assert group_advantages([1.0, 0.0]) == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)], 1e-5)
    assert group_advantages([0.3, 0.3, 0.3]) == [0, 0, 0]
    assert group_advantages([0.3]) == [0]


def test_tokens_come_from_episodes_that_count_with_place_and_turn():
    tree = tree_of([(["a", "b"], 1.0), (["c"], 0.0)])
    tree.add_episode(sequences=[1], stop=StopReason.ENV_ERROR, reward=-5.0)
    found = tokens_of([tree])
    assert len(found) == 6
    assert found.turns.tolist() == [0, 0, 1, 1, 0, 0]
    assert found.positions.tolist() == [0, 0.25, 0.5, 0.75, 0, 0.5]
    assert found.advantages[:4] == pytest.approx([math.sqrt(0.5)] * 4, 1e-5)
    assert found.logprobs.tolist() == [-0.5, -0.1] * 3


def test_tokens_without_log_probs_are_left_out_and_without_entropies_unknown():
    assert len(tokens_of([tree_of([(["a"], 1.0)], logprobs=(), entropies=())])) == 0
    found = tokens_of([tree_of([(["a"], 1.0)], entropies=())])
    assert np.isnan(found.entropies).all()
    assert math.isnan(step_covariance(1, found).entropy)


def test_a_step_by_hand():
    # l is -1, -3, -2, -2 around -2; A is 1, -1, 1, -1 around 0: terms 1, 1, 0, 0.
    found = step_covariance(3, tokens([-1, -3, -2, -2], [1, -1, 1, -1]), top=0.25)
    assert found.covariance == 0.5
    assert (found.positive, found.negative, found.neutral) == (0.25, 0.25, 0.0)
    assert found.top_share == 0.5
    weighted = covariance_terms([-1, -3, -2, -2], np.exp([-1, -3, -2, -2]) * [1, -1, 1, -1])
    assert found.weighted == pytest.approx(weighted.mean())


def test_the_parts_add_up_to_the_covariance():
    rng = np.random.default_rng(1)
    step = tokens(-rng.exponential(1, 50), rng.integers(-1, 2, 50), turns=rng.integers(0, 20, 50))
    found = step_covariance(1, step)
    expected = np.cov(step.logprobs, step.advantages, bias=True)[0, 1]
    assert found.covariance == pytest.approx(expected)
    assert found.positive + found.negative + found.neutral == pytest.approx(expected)
    for parts in (by_turn([step]), by_place([step])):
        assert sum(part.contribution for part in parts) == pytest.approx(expected)
        assert sum(part.tokens for part in parts) == 50


def test_late_turns_share_a_row():
    names = [part.name for part in by_turn([tokens([-1] * 3, [0] * 3, turns=[0, 11, 30])])]
    assert names == ["0", "11+"]


def test_a_constant_advantage_does_not_count_for_the_weighted_covariance():
    rng = np.random.default_rng(2)
    logs, advantages = -rng.exponential(1, 30), rng.normal(size=30)
    one = step_covariance(1, tokens(logs, advantages))
    other = step_covariance(1, tokens(logs, advantages + 7))
    assert one.weighted == pytest.approx(other.weighted)
    assert one.covariance == pytest.approx(other.covariance)


def test_the_top_tokens_carry_their_share_of_the_absolute_terms():
    assert top_share([4, -3, 2, 1], 0.25) == 0.4
    assert top_share([4, -3, 2, 1], 0.26) == 0.7  # rounded up
    assert math.isnan(top_share([0.0, 0.0], 0.5))


def test_the_discriminator_is_the_derivative_of_entropy_by_the_logit():
    logits = np.array([0.3, -1.2, 0.9, 0.0])

    def entropy(z):
        p = np.exp(z) / np.exp(z).sum()
        return float(-(p * np.log(p)).sum())

    logs = logits - np.log(np.exp(logits).sum())
    signal = discriminator(logs, np.full(4, entropy(logits)))
    for k in range(4):
        push = np.zeros(4)
        push[k] = 1e-6
        slope = (entropy(logits + push) - entropy(logits - push)) / 2e-6
        assert slope == pytest.approx(-signal[k], abs=1e-8)
    assert signal.sum() == pytest.approx(0, abs=1e-12)


def test_a_small_step_changes_entropy_by_minus_the_theorems_covariance():
    # dz_a = eta p_a (A_a - mean A): the entropy of a softmax policy over four actions.
    logits, advantage, eta = np.array([1.0, 0.2, -0.5, 0.0]), np.array([1.0, -1.0, 0.5, 0.2]), 1e-5
    p = np.exp(logits) / np.exp(logits).sum()
    centred = advantage - p @ advantage
    after = logits + eta * p * centred
    q = np.exp(after) / np.exp(after).sum()
    change = -(q * np.log(q)).sum() + (p * np.log(p)).sum()
    logs, weighted = np.log(p), p * centred
    covariance = p @ (logs * weighted) - (p @ logs) * (p @ weighted)
    assert change / eta == pytest.approx(-covariance, rel=1e-3)


def test_agreement_of_predictions_by_hand():
    found = agreement([1, 2, -1], [2, 4, -2])
    assert (found.scale, found.correlation, found.same_sign) == pytest.approx((2, 1, 1))
    none = agreement([0, 0], [1, -1])
    assert math.isnan(none.scale) and math.isnan(none.correlation)
    assert none.same_sign == 0
