"""Metrics of short answers, on cases counted by hand."""

from __future__ import annotations

import pytest

from agentrl.scoring import qa
from agentrl.scoring.normalise import normalise, normalise_triviaqa


def test_punctuation_goes_before_articles():
    assert normalise("The  A-Team!") == "ateam"
    assert normalise("The A Team") == "team"
    assert normalise_triviaqa("The A-Team!") == "team"


def test_exact_match_takes_any_gold():
    assert qa.exact_match("the U.S.", ["Britain", "US"]) == 1.0
    assert qa.exact_match("the U.K.", ["Britain", "US"]) == 0.0


def test_a_lone_gold_is_one_answer_and_not_its_letters():
    assert qa.exact_match("p", "Paris") == 0.0
    assert qa.cover_match("paper", "Paris") == 0.0
    assert qa.exact_match("paris", "Paris") == qa.exact_match("paris", ["Paris"]) == 1.0


def test_tokens_are_counted_as_often_as_they_occur():
    # two of three tokens shared on both sides
    assert qa.token_f1("cat cat dog", "cat dog dog") == pytest.approx(2 / 3)
    # one of one, one of three
    assert qa.token_f1("cat", "cat cat cat") == pytest.approx(0.5)


@pytest.mark.parametrize("closed", ["yes", "no", "noanswer"])
def test_yes_and_no_share_no_tokens_with_longer_answers(closed):
    assert qa.token_f1(f"{closed} indeed", closed) == 0.0
    assert qa.token_f1(closed, f"{closed} indeed") == 0.0
    assert qa.token_f1(closed.upper(), closed) == 1.0
    for free in (qa.musique_f1, qa.triviaqa_f1, qa.zerosearch_f1):
        assert free(f"{closed} indeed", closed) == pytest.approx(2 / 3)


def test_two_empty_answers_agree_in_exact_match_and_in_musique_alone():
    assert qa.exact_match("the", "") == 1.0
    assert qa.musique_f1("the", "") == 1.0
    assert qa.token_f1("the", "") == qa.zerosearch_f1("the", "") == qa.triviaqa_f1("the", "") == 0.0
    assert qa.musique_f1("the", "x") == qa.musique_f1("x", "the") == 0.0


def test_containment_is_of_the_gold_in_the_prediction():
    assert qa.cover_match("it is New York, I think", "new york") == 1.0
    assert qa.cover_match("New", "new york") == 0.0
    assert qa.cover_match("anything", "!") == 1.0


def test_no_gold_matches_nothing():
    for metric in (qa.exact_match, qa.cover_match, qa.token_f1, qa.musique_f1, qa.triviaqa_f1):
        assert metric("x", []) == metric("", []) == 0.0


def test_metrics_are_the_best_over_golds_each_for_itself():
    golds = ["a b c d", "x"]
    assert qa.token_f1("b", golds) == pytest.approx(0.5)  # one of one, one of three
    assert qa.cover_match("x b", golds) == 1.0
