"""Mathematics: judges, forms of an answer, panels of sets and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentrl.envs import env_class, make
from agentrl.envs.maths import judge as judge_module
from agentrl.envs.maths.judge import JUDGES, READS, judge_named
from agentrl.envs.maths.panels import written
from agentrl.envs.maths.prompt import FORMS, PROMPTS
from agentrl.errors import ConfigError, DataError, UnknownNameError
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/Math-v0"


@pytest.fixture(scope="module", autouse=True)
def closed_scorer():
    """The scorer's process ends with the tests of this file."""
    yield
    if judge_module._scorer.cache_info().currsize:
        judge_module._scorer().close()
        judge_module._scorer.cache_clear()


def panel(split: str = "train", **options: Any) -> TaskPanel:
    return env_class(ENV_ID).panel(split, **options)


def judged(task: Task, answer: str) -> tuple[float, bool]:
    env = make(ENV_ID)
    env.reset(seed=0, options=dict(task.options))
    _, reward, terminated, _, info = env.step(answer)
    assert terminated
    return reward, info["won"]


def file_of(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


HALF = {"id": "half", "problem": "What is one half?", "answer": "\\frac{1}{2}"}
SEVEN = {"id": "seven", "problem": "3 + 4?", "answer": "7"}
DAPO = {
    "prompt": [{"content": "Solve it. Write Answer: $Answer on the last line. 3 + 4?"}],
    "reward_model": {"ground_truth": "7"},
    "extra_info": {"index": "d1"},
}


@pytest.mark.parametrize(
    ("judge", "text", "gold", "reward", "answer"),
    [
        ("exact", "it is 7", "7", 1.0, "7"),
        ("exact", "\\boxed{0.5}", "\\frac{1}{2}", 0.0, "0.5"),
        ("boxed", "so \\boxed{0.5}", "\\frac{1}{2}", 1.0, "0.5"),
        ("boxed", "\\boxed{6} then \\boxed{5}", "5", 1.0, "5"),
        ("boxed", "it is 5", "5", 0.0, None),
        ("dapo", "first\nAnswer: $7$", "7", 1.0, "7"),
        ("dapo", "it is 7", "7", -1.0, None),
        ("gsm8k", "3 + 4 #### 7", "7", 1.0, "7"),
        ("gsm8k", "\\boxed{7}", "7", 0.0, None),
        ("math", "\\boxed{\\frac12}", "1/2", 1.0, "\\frac12"),
        ("math", "1/2", "1/2", 0.0, None),
    ],
)
def test_judges_by_name(judge: str, text: str, gold: str, reward: float, answer: str | None):
    found = judge_named(judge)(text, gold)
    assert (found.reward, found.answer, found.correct) == (reward, answer, reward == 1.0)


def test_an_answer_that_hangs_math_verify_is_wrong_and_says_so():
    found = judge_named("boxed")("\\boxed{9^{9^{9^{9^{9}}}}}", "5")
    assert not found.correct and found.reason in ("timeout", "crashed", "different")


@pytest.mark.parametrize("judge", JUDGES)
def test_every_judge_accepts_the_forms_that_it_reads(judge: str):
    for form in READS[judge]:
        text = written({"judge": judge, "form": form}, "7")
        assert JUDGES[judge](text, "7").correct
        assert not JUDGES[judge](written({"judge": judge, "form": form}, "8"), "7").correct
        assert not FORMS[form].problem(text)


def test_a_prompt_asks_for_the_form_that_the_judge_reads():
    for form in FORMS:
        shown = PROMPTS["task"].observe("3 + 4?", {"form": form})
        assert shown == "3 + 4?" + FORMS[form].instruction
    assert PROMPTS["task"].observe("x", {}) == PROMPTS["boxed"].observe("x", {"form": "hashes"})
    parsed = PROMPTS["task"].parse("7", {"form": "hashes"})
    assert (parsed.action, parsed.valid) == ("7", False) and "####" in parsed.reason
    assert PROMPTS["boxed"].answer("7") == PROMPTS["boxed"].answer("\\boxed{7}") == "\\boxed{7}"


def test_a_file_is_judged_by_math_verify(tmp_path: Path):
    half, seven = panel(file=file_of(tmp_path / "m.jsonl", HALF, SEVEN))
    assert (half.options["judge"], half.options["form"]) == ("boxed", "boxed")
    assert judged(half, "it is \\boxed{0.5}") == (1.0, True)
    assert judged(half, "it is 0.5") == (0.0, False)
    assert judged(seven, "\\boxed{3+4}") == (1.0, True)


def test_the_expert_answers_in_the_form_of_the_task(tmp_path: Path):
    file = file_of(tmp_path / "m.jsonl", SEVEN)
    for judge, forms in READS.items():
        for form in forms:
            (task,) = panel(file=file, judge=judge, form_of_answer=form)
            _, info = make(ENV_ID).reset(options=dict(task.options))
            assert judged(task, info["expert_action"]) == (1.0, True)


@pytest.mark.parametrize(
    ("name", "file", "row", "judge", "form"),
    [
        ("gsm8k", "train", {"question": "?", "answer": "x #### 1,234"}, "gsm8k", "hashes"),
        ("math", "train", {"problem": "?", "solution": "\\boxed{x^2}"}, "math", "boxed"),
        ("dapo17k", "train", DAPO, "dapo", "given"),
        ("math500", "test", HALF, "boxed", "boxed"),
    ],
)
def test_sets_bring_their_judge_and_their_form(
    name: str,
    file: str,
    row: dict[str, Any],
    judge: str,
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / name).mkdir()
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path))
    path = file_of(tmp_path / name / f"{file}.jsonl", row)
    split = "train" if file == "train" else "heldout"
    (by_name,), (by_path,) = panel(split, file=name), panel(split, file=path, form=name)
    assert (by_name.options["judge"], by_name.options["form"]) == (judge, form)
    assert by_path.options == by_name.options
    if name == "dapo17k":
        shown = PROMPTS["task"].observe(by_name.options["problem"], {"form": form})
        assert shown == DAPO["prompt"][0]["content"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"judge": "gsm8k", "form_of_answer": "boxed"}, "does not read answers of the form"),
        ({"judge": "gsm8k"}, "would not accept the right answers"),
        ({"judge": "boxes"}, "boxed"),
        ({"form_of_answer": "box"}, "boxed"),
        ({"digits": 2}, "digits"),
        ({"unverified": "maybe"}, "unverified"),
    ],
)
def test_a_wrong_combination_is_refused_when_the_panel_is_made(
    tmp_path: Path, options: dict[str, Any], message: str
):
    file = file_of(tmp_path / "m.jsonl", HALF, SEVEN)
    with pytest.raises((ConfigError, DataError, UnknownNameError), match=message):
        panel(file=file, **options)


def test_generated_problems_take_no_options_of_files():
    with pytest.raises(ConfigError, match="goes with `file`"):
        panel(heldout_share=0.1)
    with pytest.raises(ConfigError, match="does not read"):
        panel(judge="gsm8k", form_of_answer="boxed")


@pytest.mark.parametrize("judge", ["boxed", "gsm8k"])
def test_rows_whose_own_answer_is_not_accepted_are_refused_or_dropped(tmp_path: Path, judge: str):
    senseless = {"id": "bad", "problem": "?", "answer": "\\text{}"}
    file = file_of(tmp_path / "m.jsonl", SEVEN, senseless)
    with pytest.raises(DataError, match="bad"):
        panel(file=file, judge=judge)
    assert [task.id for task in panel(file=file, judge=judge, unverified="drop")] == ["seven"]


def test_generated_panels_are_what_they_were():
    train, heldout = panel("train", count=200), panel("heldout", count=100)
    assert not {task.id for task in train} & {task.id for task in heldout}
    assert set(train[0].options) == {"problem", "answer", "judge", "guesses"}
    assert judged(train[0], f"it is {train[0].answer}") == (1.0, True)


@pytest.mark.parametrize(
    ("name", "count", "more"),
    [
        ("gsm8k_test", 1060, {"form": "gsm8k"}),
        ("aime24", 25, {}),
        ("aime25", 25, {"damaged": "mend"}),
        ("amc23", 40, {}),
    ],
)
def test_real_sets_are_read_and_their_own_answers_accepted(
    shared: Path, name: str, count: int, more: dict[str, Any]
):
    tasks = panel("test", file=str(shared / f"data/qa/{name}.jsonl"), **more)
    assert abs(len(tasks) - count) <= 10
    for task in tasks[:3]:
        _, info = make(ENV_ID).reset(options=dict(task.options))
        assert judged(task, info["expert_action"]) == (1.0, True)
