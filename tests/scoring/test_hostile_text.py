"""Whatever a model writes, every reading ends quickly and without an error."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.scoring import (
    arpo,
    arpo_evaluation,
    boxed,
    dapo,
    deepresearcher,
    gaia,
    gsm8k,
    hendrycks,
    judge_text,
    qa,
    search_r1,
    tags,
)

PAID = search_r1.FormatScores(retrieval=0.1)
REWARDS = {  # each with its range
    "gaia": (lambda text: gaia.question_scorer(text, "1, a"), 0, 1),
    "gaia number": (lambda text: gaia.question_scorer(text, "1"), 0, 1),
    "exact match": (lambda text: qa.exact_match(text, ["a", "b"]), 0, 1),
    "cover match": (lambda text: qa.cover_match(text, "a b"), 0, 1),
    "f1": (lambda text: qa.token_f1(text, "a b c"), 0, 1),
    "musique": (lambda text: qa.musique_f1(text, "b c"), 0, 1),
    "triviaqa": (lambda text: qa.triviaqa_f1(text, "b c"), 0, 1),
    "search-r1": (lambda text: search_r1.search_r1_reward(text, "b", PAID), 0, 1),
    "search-r1 official": (lambda text: search_r1.official_reward(text, "b", PAID), 0, 1),
    "zerosearch": (lambda text: search_r1.zerosearch_reward(text, "b c"), 0, 1),
    "deepresearcher": (lambda text: deepresearcher.deepresearcher_reward(text, "b c"), -1, 1),
    "arpo": (lambda text: arpo.arpo_reward(text, "b c"), -1, 1 + arpo.BOTH_TOOLS),
    "arpo metrics": (lambda text: arpo_evaluation.arpo_metrics(text, "b c").f1, 0, 1),
    "dapo": (lambda text: dapo.dapo_reward(text, "1"), -1, 1),
    "gsm8k": (lambda text: gsm8k.gsm8k_reward(text, "1", flexible=True), 0, 1),
    "math": (lambda text: hendrycks.math_reward(text, "1"), 0, 1),
    "latex": (lambda text: hendrycks.hendrycks_equal(text, "1"), 0, 1),
    "arpo judge": (judge_text.says_correct, 0, 1),
    "browsecomp": (judge_text.browsecomp_says_correct, 0, 1),
}
READINGS = {
    "final answer": gaia.final_answer,
    "last boxed": boxed.last_boxed,
    "last boxed in latex": lambda text: boxed.last_boxed(text, skip_escaped=True),
    "last box": boxed.last_box,
    "last block": lambda text: tags.last_block(text, "answer"),
    "arpo answer": arpo_evaluation.arpo_answer,
    "dapo answer": dapo.dapo_answer,
    "gsm8k answer": gsm8k.gsm8k_answer,
}
PIECES = [
    *(f"<{slash}{tag}>" for tag in ("think", "search", "python", "result") for slash in ("", "/")),
    *("<information>", "</information>", "<answer>", "</answer>", "<tool_call>", "<judgment>"),
    *("\\boxed{", "\\boxed ", "\\fbox{", "\\text{", "\\text{ ", "\\frac", "\\sqrt", "\\left\\{"),
    *("{", "}", "\\", "$", "[", "]", '"', "'", "“", "*", "#### ", "Answer:", "FINAL ANSWER:"),
    *("<|im_start|>assistant", "<|im_end|>", "correct: ", "=", "/", ",", ";", ".", "-", "%"),
    *(" ", "\n", "\x00", "\u200b", "\ud800", "İ", "ß", "٤", "²", "🙂", "1", "a", "the ", "b c"),
]


def check(text: str) -> None:
    for name, (reward, least, most) in REWARDS.items():
        assert least <= reward(text) <= most, name
    for name, reading in READINGS.items():
        found = reading(text)
        assert found is None or isinstance(found, str), name


def test_ten_thousand_odd_texts_are_read_and_rewarded_within_range():
    generator = random.Random(0)
    for _ in range(10_000):
        check("".join(generator.choices(PIECES, k=generator.randrange(12))))


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_read_and_rewarded_within_range(text):
    check(text)


MANY = ["<answer>", "<think></think>", "<information>x</information>", "<|im_end|>", "1,", "$", " "]


@pytest.mark.slow
@pytest.mark.parametrize("piece", [*MANY, "FINAL ANSWER", "\\boxed{", "\\boxed ", "{", "\\frac1"])
def test_a_million_characters_take_about_a_second_at_most(piece):
    repeated = piece * (1_000_000 // len(piece))
    text = f"<think>t</think><answer>{repeated}</answer>"
    for name in (*REWARDS, *READINGS):
        read = READINGS.get(name) or REWARDS[name][0]
        began = time.process_time()
        read(text)
        assert time.process_time() - began < 2, name
