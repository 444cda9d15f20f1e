"""ARPO's reward of tagged answers."""

from __future__ import annotations

import pytest

from agentrl.algorithms.strategies.arpo_reward import arpo_reward, boxed, token_f1

THINK = "<think> hm </think>"
SEARCH = "<search> q </search> <result> r </result>"
PYTHON = "<python> 1 </python><result> 1 </result>"
ANSWER = r"<answer> it is \boxed{the Eiffel tower} </answer>"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (THINK + ANSWER, 1.0),
        (THINK + SEARCH + ANSWER, 1.0),
        (THINK + PYTHON + ANSWER, 1.0),
        (THINK + SEARCH + PYTHON + SEARCH + ANSWER, 1.1),
        (THINK + r"<answer>\boxed{tower}</answer>", 2 / 3),
        (THINK + SEARCH + PYTHON + r"<answer>\boxed{Louvre}</answer>", 0.0),
        (THINK + r"<answer>\boxed{}</answer>", 0.0),
    ],
)
def test_scores(text, score):
    found = arpo_reward(text, "Eiffel Tower!")
    assert found.score == pytest.approx(score)
    assert not found.problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ANSWER, "no <think>"),
        ("<think>" + THINK + ANSWER, "pair"),
        (THINK, "exactly one"),
        (THINK + ANSWER + ANSWER, "exactly one"),
        (THINK + r"</answer>\boxed{1}<answer>", "before"),
        (THINK + "<answer> 1 </answer>", "boxed"),
        (THINK + "<search> q </search>" + ANSWER, "no end or no result"),
        (THINK + SEARCH + "<search> q" + ANSWER, "no end or no result"),
        (THINK + "<python> 1 <result> </python> 1 </result>" + ANSWER, "out of order"),
        (THINK + r"<answer>\boxed{1 } { </answer>", ""),
        (THINK + r"<answer>} \boxed{1 </answer>", "cannot be read"),
    ],
)
def test_formats(text, problem):
    found = arpo_reward(text, "1")
    assert problem in found.problem
    assert (found.score == -1) == bool(problem)


def test_the_last_box_counts_with_its_inner_braces():
    assert boxed(r"\boxed{1} so \boxed{\frac{1}{2}} }") == r"\frac{1}{2}"
    assert boxed("none") is None
    assert boxed(r"\boxed{1} \boxed{2") is None


def test_f1_of_words():
    assert token_f1("The quick, brown fox", "a brown dog") == pytest.approx(2 / 5)
    assert token_f1("x x y", "x y y") == pytest.approx(2 / 3)
    assert token_f1("yes indeed", "yes") == 0
    assert token_f1("Yes.", "yes") == 1
    assert token_f1("no", "no way") == 0


def test_the_best_accepted_answer_counts():
    assert arpo_reward(THINK + ANSWER, ["Louvre", "tower", "Eiffel Tower"]).f1 == 1
    assert arpo_reward(THINK + ANSWER, []).score == 0
