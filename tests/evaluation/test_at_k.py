"""Rates of k answers to one task."""

from __future__ import annotations

import itertools

import pytest

from agentrl.errors import ConfigError
from agentrl.evaluation import at_k
from agentrl.evaluation.at_k import maj_at_k, pass_at_k


@pytest.mark.parametrize("correct", range(6))
@pytest.mark.parametrize("k", range(1, 6))
def test_pass_at_k_is_the_share_of_sets_with_a_correct_sample(correct, k):
    samples = [place < correct for place in range(5)]
    sets = list(itertools.combinations(samples, k))
    assert pass_at_k(5, correct, k) == pytest.approx(sum(map(any, sets)) / len(sets))


def test_the_most_common_answer_counts():
    answers, correct = ["a", "a", "b", "c"], [True, True, False, False]
    assert maj_at_k(answers, correct, 1) == 0.5
    # aab, aac: right; abc twice: one of three equally common answers is right
    assert maj_at_k(answers, correct, 3) == pytest.approx((2 + 2 / 3) / 4)
    assert maj_at_k(answers, correct, 4) == 1.0


def test_no_answer_does_not_vote():
    assert maj_at_k([None, None, "a"], [False, False, True], 3) == 1.0
    assert maj_at_k([None, None], [False, False], 2) == 0.0


def test_many_sets_are_drawn(monkeypatch):
    answers = ["a"] * 6 + ["b"] * 4
    correct = [answer == "a" for answer in answers]
    exact = maj_at_k(answers, correct, 5)
    monkeypatch.setattr(at_k, "LARGEST_ENUMERATION", 10)
    drawn = maj_at_k(answers, correct, 5, draws=4000)
    assert drawn == pytest.approx(exact, abs=0.04)
    assert drawn == maj_at_k(answers, correct, 5, draws=4000)


@pytest.mark.parametrize("k", [0, 4])
def test_sets_that_do_not_exist_are_refused(k):
    with pytest.raises(ConfigError, match="`k`"):
        pass_at_k(3, 1, k)
    with pytest.raises(ConfigError, match="`k`"):
        maj_at_k(["a"] * 3, [True] * 3, k)


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="3 answers, but 2"):
        maj_at_k(["a"] * 3, [True] * 2, 1)
    with pytest.raises(ConfigError, match="4 of 3"):
        pass_at_k(3, 4, 1)
