"""GAIA's scorer has all the leaderboard's consequences, the surprising ones too."""

from __future__ import annotations

import pytest

from agentrl.scoring.gaia import final_answer, question_scorer


@pytest.mark.parametrize(
    "answer", ["42", "$42", "42%", " 42 ", "4,2", "4.2e1", "４２", "٤٢", "4_2", "42.", "+42"]
)
def test_a_number_is_whatever_python_reads_as_it(answer):
    assert question_scorer(answer, "42")


@pytest.mark.parametrize("answer", ["42 USD", "€42", "42..", "forty-two", "", "41.999999", None])
def test_other_texts_are_not_the_number(answer):
    assert not question_scorer(answer, "42")


def test_a_percentage_is_not_its_fraction():
    assert not question_scorer("50%", "0.5")
    assert question_scorer("50%", "50")


def test_a_number_with_a_thousands_comma_is_a_list():
    assert not question_scorer("1234", "1,234")
    assert question_scorer("1,234", "1,234")
    assert question_scorer("1; 234", "1,234")


def test_an_infinite_ground_truth_accepts_what_is_no_number_and_nan_nothing():
    assert question_scorer("anything", "inf")
    assert question_scorer("", "Infinity")
    assert not question_scorer("5", "inf")
    assert not question_scorer("nan", "nan")


def test_lists_are_compared_in_order_with_numbers_as_numbers():
    assert question_scorer("Apple;7.0", "apple, 7")
    assert question_scorer("$7, a b", "7; AB")
    assert not question_scorer("b, a", "a, b")
    assert not question_scorer("a, b, c", "a, b")
    assert not question_scorer("a", "a, b")


def test_list_elements_keep_punctuation_and_single_texts_lose_it():
    assert not question_scorer("st louis, x", "st. louis, x")
    assert question_scorer("st louis", "St. Louis")


@pytest.mark.parametrize(
    ("answer", "truth"),
    [("the cat", "cat"), ("a–b", "a-b"), ("“q”", "q"), ("a。", "a"), ("a\u200bb", "ab")],
)
def test_articles_and_signs_beyond_ascii_count(answer, truth):
    assert not question_scorer(answer, truth)


def test_case_is_lowered_not_folded():
    assert not question_scorer("STRASSE", "straße")
    assert question_scorer("ÉTÉ", "été")


def test_an_empty_answer_equals_a_ground_truth_of_punctuation():
    assert question_scorer("", "!?")


def test_no_answer_is_the_text_none():
    assert question_scorer(None, "None")
    assert not question_scorer(None, "x")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("FINAL ANSWER: 42", "42"),
        ("final answer: a\nFinal Answer: b, c\nmore", "b, c"),
        ("**FINAL ANSWER:** **egalitarian**", "egalitarian"),
        ("**Final answer**: 3", "3"),
        ("FINAL ANSWER: [right]", "right"),
        ('FINAL ANSWER: "right"', "right"),
        ("FINAL ANSWER: [a], [b]", "[a], [b]"),
        ("FINAL ANSWER:\n7", "7"),
        ("<answer> x </answer> FINAL ANSWER: y", "y"),
        ("<answer>a</answer><answer>b</answer>", "b"),
        ("<answer>it is \\boxed{5}</answer>", "5"),
        ("so \\boxed{5}", "5"),
        ("FINAL ANSWER:  ", None),
        ("<answer> </answer>", None),
        ("no idea", None),
        ("", None),
    ],
)
def test_the_final_answer_is_found(text, answer):
    assert final_answer(text) == answer
