"""Rewards of mathematics by string rules."""

from __future__ import annotations

import pytest

from agentrl.scoring.dapo import dapo_answer, dapo_reward
from agentrl.scoring.gsm8k import gsm8k_answer, gsm8k_reward
from agentrl.scoring.hendrycks import hendrycks_equal, math_reward


def test_dapo_prefers_the_answer_line_to_the_box():
    assert dapo_reward("\\boxed{5}\nAnswer: 6", "6") == 1.0
    assert dapo_reward("\\boxed{5}\nAnswer: 6", "5") == -1.0
    assert dapo_reward("\\boxed{5}\nAnswer: 6", "5", boxed_only=True) == 1.0
    assert dapo_reward("The answer is 5", "5") == -1.0


def test_dapo_reads_the_last_300_characters_and_boxes_in_the_last_100():
    assert dapo_reward("Answer: 5\n" + "x" * 290, "5") == 1.0
    assert dapo_reward("Answer: 5\n" + "x" * 300, "5") == -1.0
    assert dapo_reward("\\boxed{5}" + "x" * 91, "5") == 1.0
    assert dapo_reward("\\boxed{5}" + "x" * 92, "5") == -1.0


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("Answer: x = $12$ units", "12"),
        ("answer : 1,234", "1234"),
        ("Answer: \\text{Navin}", "Navin"),
        ("Answer: \\frac12\\sqrt3", "\\frac{1}{2}\\sqrt{3}"),
        ("Answer: \\boxed{30^\\circ}", "30"),
        ("nothing", None),
    ],
)
def test_dapo_normalises_the_line(line, answer):
    assert dapo_answer(line) == answer


def test_dapo_compares_a_box_as_it_is():
    assert dapo_reward("\\boxed{ 5 }", "5") == -1.0


def test_gsm8k_wants_the_marked_number_digit_by_digit():
    assert gsm8k_reward("so #### 1,234", "1234") == 1.0
    assert gsm8k_reward("#### 1234.", "1234") == 0.0
    assert gsm8k_reward("it is 1234", "1234") == 0.0
    assert gsm8k_reward("it is 1234", "1234", flexible=True) == 1.0
    assert gsm8k_reward("#### 5" + "x" * 300, "5") == 0.0


def test_gsm8k_takes_the_last_number_that_is_not_a_point():
    assert gsm8k_answer("first 1 . then 2 .", flexible=True) == "2"
    assert gsm8k_answer("none", flexible=True) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1/2", "\\frac12"),
        ("0.5", "\\dfrac{1}{2}"),
        (".5", "\\frac{1}{2}"),
        ("x=5", "5"),
        ("\\sqrt3", "\\sqrt{3}"),
        ("5\\text{ cm}", "5"),
        ("90^\\circ", "90"),
        ("\\left( 1, 2 \\right)", "(1,2)"),
        ("10\\%", "10"),
    ],
)
def test_math_knows_these_forms_to_be_equal(first, second):
    assert hendrycks_equal(first, second)
    assert math_reward(f"so $\\boxed{{{first}}}$", second) == 1.0


def test_math_knows_no_mathematics():
    assert not hendrycks_equal("2+2", "4")
    assert not hendrycks_equal("02/4", "\\frac{02}{4}")
    assert math_reward("4", "4") == 0.0


def test_what_cannot_be_normalised_equals_only_itself():
    for odd in ("1\\frac", "\\sqrt", "1\\text{ a}\\text{ b}"):
        assert hendrycks_equal(odd, odd)
        assert not hendrycks_equal(odd, "1")
