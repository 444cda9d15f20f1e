"""Prompt augmentation: which template, what it writes, and how a format is scored."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import pytest

from agentrl.algorithms.prompts.augmentation import PromptAugmentation
from agentrl.algorithms.prompts.templates import MATHEMATICS, VERSION, WORDINGS, Template
from agentrl.errors import ConfigError, UnknownNameError

BY_NAME = {template.name: template for template in MATHEMATICS}
LINES = "<think>\nx\n</think>\n<answer>\n4\n</answer>"


def test_the_choice_is_a_function_of_seed_epoch_and_prompt():
    augmentation = PromptAugmentation(seed=3)
    assert augmentation.choose(1, "a") == PromptAugmentation(seed=3).choose(1, "a")
    # pinned: another machine, process or Python must choose the same
    names = [augmentation.choose(epoch, f"task-{epoch % 2}").name for epoch in range(5)]
    assert names == ["simplerl", "deepseek-r1", "lm_eval_prompt8", "lm_eval_prompt4", "qwen-math"]


@pytest.mark.parametrize("vary", ["seed", "epoch", "prompt"])
def test_every_template_is_drawn_equally_often(vary):
    def draw(number):
        seed, epoch, prompt = (
            number if vary == name else 0 for name in ("seed", "epoch", "prompt")
        )
        return PromptAugmentation(seed=seed).choose(epoch, str(prompt)).name

    counts = Counter(draw(number) for number in range(2600))
    assert len(counts) == 13
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert chi_square < 32.9  # 0.1 % of 12 degrees of freedom


def test_choices_do_not_run_together():
    """The parts of the key are kept apart."""
    many = PromptAugmentation(templates=tuple(Template(name=str(n)) for n in range(10**4)))
    assert many.choose(1, "23") != many.choose(12, "3")


@pytest.mark.parametrize(
    ("name", "text", "score"),
    [
        ("abel", "anything", 1.0),
        ("formal", "", 1.0),
        ("open-r1", LINES, 1.0),
        ("open-r1", LINES + LINES, 0.0),
        ("open-r1", LINES.replace("\n<answer>", "<answer>"), 0.5),  # both tags need that line break
        ("open-r1-teacher", LINES.removeprefix("<think>\n"), 1.0),
        ("open-r1-teacher", "x\n</think>\n", 1 / 3),
        ("deepseek-r1", LINES.replace("\n", ""), 1.0),
        ("deepseek-r1", "<think></think>", 0.5),
        ("deepseek-r1-teacher", "</think><answer>4", 2 / 3),
        ("lm_eval_prompt1", "The final answer is: 4", 1.0),
        ("lm_eval_prompt4", "The final answer is: 4. The final answer is: 5", 0.0),
        ("reflective_prompt", "<solution>\ns\n</solution>\n", 0.5),
        (
            "reflective_prompt-teacher",
            "s\n</solution>\n<check>\nLet's verify step by step ok\n</check>",
            1.0,
        ),
    ],
)
def test_format_scores(name, text, score):
    assert BY_NAME[name].format_score(text) == pytest.approx(score)
    augmentation = PromptAugmentation()
    assert augmentation.reward(name, 1.0, text) == pytest.approx(1 + score)


@pytest.mark.parametrize("template", MATHEMATICS, ids=lambda template: template.name)
def test_a_template_keeps_the_question_and_asks_for_a_box(template):
    question = "What is 2 + 2?"
    message = template.question(question)
    assert question in message.split("\n")
    assert r"\boxed{" in message + template.system()
    for piece in template.pieces:
        mark = piece.strip().split("\n")[0]
        assert mark in message + template.system()


@pytest.mark.parametrize("name", ["open-r1", "deepseek-r1", "reflective_prompt"])
def test_a_prefilled_variant_scores_the_rest(name):
    plain, prefilled = BY_NAME[name], BY_NAME[f"{name}-teacher"]
    assert prefilled.pieces == plain.pieces[1:]
    assert prefilled.prefill == plain.pieces[0]


def test_wordings_extend_a_system_text_and_formats_refuse_to():
    assert {template.changes_format for template in WORDINGS} == {False}
    assert len({template.instruction for template in WORDINGS}) == len(WORDINGS)
    for template in WORDINGS:
        assert template.system("Write <action>.").startswith("Write <action>.")
        assert template.format_score("") == 1
    assert WORDINGS[0].system("Write <action>.") == "Write <action>."
    assert WORDINGS[1].system() == WORDINGS[1].system(None) == WORDINGS[1].instruction
    for template in MATHEMATICS:
        if template.changes_format:
            with pytest.raises(ConfigError, match="WORDINGS"):
                template.system("Write <action>.")


@pytest.mark.parametrize("field", ["before", "after", "prefill", "pieces"])
def test_whatever_touches_the_answer_changes_the_format(field):
    value = ("x",) if field == "pieces" else "x"
    assert replace(Template(name="t", instruction="i"), **{field: value}).changes_format


def test_names():
    with pytest.raises(UnknownNameError, match="open-r1"):
        PromptAugmentation().reward("open-r2", 0.0, "")
    for templates in ((), (Template(name="a"), Template(name="a"))):
        with pytest.raises(ConfigError, match="different names"):
            PromptAugmentation(templates=templates)


def test_wordings_belong_to_their_version():
    digest = hashlib.sha256(repr((MATHEMATICS, WORDINGS)).encode()).hexdigest()
    assert (VERSION, digest[:16]) == (1, "03bdc3458deb9d2c")
