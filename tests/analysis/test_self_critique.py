"""Self-Critique and the detectors it is compared with, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.analysis.self_critique import (
    edit_distance,
    min_k,
    min_k_plus_plus,
    peak,
    perplexity,
    recall_ratio,
    self_critique_score,
    topk_statistics,
)


def test_the_score_by_hand():
    # Cosine of (3, 4) and (4, 3) is 24/25; of (1, 0) and (1, 1) 1/sqrt(2), times length 1/2.
    assert self_critique_score([3, 4], [4, 3]) == pytest.approx(0.96)
    assert self_critique_score([1], [1, 1]) == pytest.approx(0.5 / math.sqrt(2))


@pytest.mark.parametrize(("one", "other"), [([], [1.0]), ([1.0], []), ([0.0, 0.0], [1.0])])
def test_nothing_to_compare_scores_zero(one, other):
    assert self_critique_score(one, other) == 0.0


entropies = st.lists(st.floats(0, 10), min_size=1, max_size=12)


@given(entropies, entropies)
def test_the_score_is_symmetric_and_between_0_and_1(one, other):
    score = self_critique_score(one, other)
    assert score == pytest.approx(self_critique_score(other, one))
    assert -1e-9 <= score <= 1 + 1e-9


def test_moments_of_two_tokens_by_hand():
    half = math.log(0.5)
    found = topk_statistics([{1: half, 2: half}, {}], [2, 7])
    assert found.entropies == pytest.approx([math.log(2)])
    assert found.means == pytest.approx([-math.log(2)])
    assert found.deviations == [1e-3]  # equal log-probs: the floor
    assert found.logprobs == [half, None]


def test_only_the_k_best_tokens_count_and_may_be_made_to_add_up():
    position = {1: math.log(0.6), 2: math.log(0.2), 3: math.log(0.1)}
    bare = topk_statistics([position], [3], k=2)
    assert bare.entropies == pytest.approx([-0.6 * math.log(0.6) - 0.2 * math.log(0.2)])
    assert bare.logprobs == [None]
    whole = topk_statistics([position], [1], k=2, renormalise=True)
    assert whole.entropies == pytest.approx([-0.75 * math.log(0.75) - 0.25 * math.log(0.25)])


def test_perplexity_and_the_lowest_log_probs():
    assert perplexity([math.log(0.5), math.log(0.125)]) == pytest.approx(4)
    assert min_k([-1, -5, -3, -2, -4], ratio=0.4) == -4.5
    assert min_k([-1, -5], ratio=0.2) == -5  # at least one token
    assert math.isnan(perplexity([])) and math.isnan(min_k([]))


def test_standardised_log_probs_are_ranked_after_standardising():
    # -1 stands 3 deviations below its mean, -5 only one.
    assert min_k_plus_plus([-1, -5], [-0.7, -3], [0.1, 2], ratio=0.5) == pytest.approx(-3)


def test_the_ratio_of_likelihoods():
    assert recall_ratio([-2, -4], [-1, -2]) == 2
    assert math.isnan(recall_ratio([], [-1])) and math.isnan(recall_ratio([-1], [0.0]))


def plain_distance(one, other):
    table = [[max(i, j) for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i, a in enumerate(one, start=1):
        for j, b in enumerate(other, start=1):
            swap = table[i - 1][j - 1] + (a != b)
            table[i][j] = min(swap, 1 + table[i - 1][j], 1 + table[i][j - 1])
    return table[-1][-1]


tokens = st.lists(st.integers(0, 4), max_size=8)


@given(tokens, tokens)
def test_the_edit_distance_is_that_of_the_table(one, other):
    assert edit_distance(one, other) == plain_distance(one, other)


def test_both_lists_are_cut_only_where_both_are_long():
    assert edit_distance([1, 2, 9], [1, 2, 8], max_tokens=2) == 0
    assert edit_distance([1, 2], [1, 2, 8], max_tokens=2) == 1


def test_the_peak_counts_samples_within_a_share_of_the_mean_length():
    greedy = [0] * 10
    near, far = [0] * 9 + [1], [1] * 10
    # Mean length 10: with alpha 0.1 one edit is close.
    assert peak(greedy, [near, far, greedy, []], alpha=0.2) == pytest.approx(2 / 3)
    assert peak(greedy, [near], alpha=0.1) == 1
    assert peak(greedy, [near], alpha=0.05) == 0
    assert math.isnan(peak(greedy, [])) and math.isnan(peak([], [near]))
