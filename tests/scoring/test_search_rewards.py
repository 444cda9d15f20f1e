"""Rewards of searching agents; the traps of the released code are where we say they are."""

from __future__ import annotations

import pytest

from agentrl.scoring import search_r1
from agentrl.scoring.arpo import BOTH_TOOLS, ArpoReason, arpo_reward, judge_arpo
from agentrl.scoring.arpo_evaluation import arpo_answer, arpo_maths_metrics, arpo_metrics
from agentrl.scoring.deepresearcher import deepresearcher_reward
from agentrl.scoring.search_r1 import FormatScores, official_reward, search_r1_reward

PROMPT = (
    "<|im_start|>user\nFor example, <answer> Beijing </answer>.<|im_end|>\n<|im_start|>assistant\n"
)
SEARCH = "<think>t</think>\n<search>q</search>\n\n<information>Paris is big</information>\n\n"
RIGHT = SEARCH + "<think>t</think>\n<answer>Paris</answer>"


def test_the_reward_reads_one_answer_of_the_response_alone():
    assert search_r1_reward(RIGHT, "Paris") == 1.0
    assert official_reward(RIGHT, "Paris") == 0.0  # the trap
    assert official_reward(PROMPT + RIGHT, "Paris") == 1.0


@pytest.mark.parametrize("end", ["<|im_end|>", "\n<|im_end|>\n", "<|im_end|><|endoftext|>", "  "])
def test_a_token_that_ends_the_turn_does_not_spoil_the_order(end):
    assert search_r1_reward(RIGHT + end, "Paris", FormatScores()) == 1.0
    official = official_reward(PROMPT + RIGHT + end, "Paris", FormatScores())
    assert official == (0.8 if end.strip() else 1.0)


@pytest.mark.parametrize(
    ("response", "reward"),
    [
        (RIGHT, 1.0),
        ("<answer>Paris</answer>", 0.8),
        (RIGHT.replace("Paris</a", "Rome</a"), 0.25),
        (RIGHT.replace("Paris", "Rome"), 0.2),
        ("<answer>Rome</answer>", 0.1),
        (SEARCH, 0.0),
        ("", 0.0),
    ],
)
def test_answer_order_and_retrieval_are_paid_separately(response, reward):
    assert search_r1_reward(response, "Paris", FormatScores(retrieval=0.05)) == reward


@pytest.mark.parametrize(
    "response",
    [
        "<answer>x</answer>",
        SEARCH + "<answer>x</answer>",
        "<think>t</think> so <answer>x</answer>",
        "<think>t<think>u</think></think><answer>x</answer>",
        "<think>t</think><answer>x</answer><answer>x</answer>",
        "<think>t</think><search>q</search><think>t</think><answer>x</answer>",
        "<think>t</think><answer>x",
        "<think>t</think>",
        "</think><think>t</think><answer>x</answer>",
    ],
)
def test_other_orders_are_invalid(response):
    assert not search_r1.is_valid_sequence(response)
    assert search_r1.is_valid_sequence(f" {SEARCH}{SEARCH}<think></think><answer></answer>\n")


def test_zerosearch_pays_for_shared_tokens():
    assert search_r1.zerosearch_reward("<answer>New York City</answer>", "York") == 0.5
    assert search_r1.zerosearch_reward("York", "York") == 0.0


ANSWER = "<think>t</think><answer>\\[ \\boxed{New York City} \\]</answer>"
SEARCHED = "<think>t</think><search>q</search> <result>\nx\n</result>"
PROGRAMMED = "<think>t</think><python>1</python> <result>\n1\n</result>"


def test_arpo_pays_f1_and_a_bonus_for_both_tools():
    assert arpo_reward(ANSWER, "York") == 0.5
    assert arpo_reward(SEARCHED + ANSWER, "York") == 0.5
    assert arpo_reward(SEARCHED + PROGRAMMED + ANSWER, "York") == 0.5 + BOTH_TOOLS
    assert arpo_reward(SEARCHED + PROGRAMMED + ANSWER, ["Rome", "NYC"]) == 0.0


@pytest.mark.parametrize(
    "response",
    [
        "",
        "<answer>\\boxed{York}</answer>",
        "<think>" + ANSWER,
        ANSWER + "<answer>\\boxed{York}</answer>",
        "<think>t</think><answer>York</answer>",
        "<think>t</think><search>q</search>" + ANSWER,
        "<think>t</think><search>q<result>x</result></search>" + ANSWER,
        "<python>1" + SEARCHED + ANSWER,
    ],
)
def test_arpo_punishes_bad_form(response):
    verdict = judge_arpo(response, "York")
    assert (verdict.score, verdict.reason) == (-1.0, ArpoReason.BAD_FORMAT)


def test_arpo_punishes_a_box_that_is_never_closed():
    verdict = judge_arpo("<think>t</think><answer>} \\boxed{York</answer>", "York")
    assert (verdict.score, verdict.reason) == (-1.0, ArpoReason.NO_BOX)


def test_arpos_metrics_keep_the_punctuation_its_reward_drops():
    assert arpo_metrics("U.S.", "US").em == 0.0
    assert arpo_reward("<think>t</think><answer>\\boxed{U.S.}</answer>", "US") == 1.0
    assert arpo_metrics("the us", "US").em == 1.0
    assert arpo_maths_metrics("the us", "US").em == 0.0
    assert arpo_maths_metrics("1/2", "0.5").math_equal == 1.0


def test_a_reference_in_brackets_is_a_list():
    assert arpo_metrics("rome", "[Paris, Rome]").em == 1.0
    assert arpo_metrics("rome", "Paris, Rome").em == 0.0


def test_arpos_answer_is_the_box_of_the_last_answer_or_the_answer():
    assert arpo_answer("<answer>\\boxed{1}</answer><answer>\\boxed{\\text{b}}</answer>") == "b"
    assert arpo_answer("<think>\\boxed{1}</think><answer>2</answer>") == "2"
    assert arpo_answer("\\boxed{1}") == "1"
    assert arpo_answer("<answer>2") == ""


def test_deepresearcher_compares_sets_of_words_and_keeps_articles():
    response = "<think>t</think><answer>The-cat cat</answer>"
    assert deepresearcher_reward(response, "cat") == pytest.approx(2 / 3)
    assert deepresearcher_reward(response, ["dog", "the cat CAT!"], exact=True) == 1.0
    assert deepresearcher_reward(response, "dog") == 0.0


@pytest.mark.parametrize(
    "response",
    ["cat", "<answer>cat", "<think><answer>cat</answer>", "</think><think><answer>cat</answer>"],
)
def test_deepresearcher_punishes_bad_form(response):
    assert deepresearcher_reward(response, "cat") == -1.0
