"""ToolMath: programs in a sandbox that fails closed, answers judged as mathematics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agentrl.envs import TextEnv, make
from agentrl.envs.tooluse import ToolMathEnv
from agentrl.errors import ConfigError, UnknownNameError
from agentrl.types import Task

bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="NOT TESTED: bubblewrap is not installed"
)


def started(task: Task) -> tuple[TextEnv, Any]:
    env = make("agentrl/ToolMath-v0")
    return env, env.reset(seed=task.seed, options=dict(task.options))[1]


def said(text: str) -> str:
    """Return the action of a model's own words."""
    action = ToolMathEnv.prompts["arpo"].parse(text, {}).action
    assert action is not None
    return action


@bubblewrap
def test_a_program_answers_what_is_hard_by_heart():
    tasks = ToolMathEnv.panel("train", count=3)
    ToolMathEnv.prepare(tasks)
    for task in tasks:
        assert task.answer == str(eval(task.id))
        env, info = started(task)
        shown, reward, terminated, _, info = env.step(info["expert_action"])
        assert (shown, reward, terminated) == (task.answer, 0.0, False)
        _, reward, terminated, _, info = env.step(info["expert_action"])
        assert (reward, terminated, info["won"], info["tool_calls"]) == (1.0, True, True, 1)


@bubblewrap
def test_arpos_form_prints_a_last_expression_and_shows_errors():
    env, _ = started(ToolMathEnv.panel("train", count=1)[0])
    assert env.step(said("<think>a</think><python>2**70</python>"))[0] == str(2**70)
    found = env.step(said("<think>a</think><python>1/0</python>"))
    assert "ZeroDivisionError" in found[0] and not found[2]
    assert (
        "NameError"
        in env.step(said("<python>x = 1</python>"))[0] + env.step(said("<python>x</python>"))[0]
    )


@bubblewrap
def test_programs_cannot_read_the_host(tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the answer is 7")
    env, _ = started(ToolMathEnv.panel("train", count=1)[0])
    shown = env.step(f"python: print(open({str(secret)!r}).read())")[0]
    assert "the answer" not in shown and "Error" in shown


def test_a_sandbox_that_cannot_start_is_an_error_before_any_episode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="bubblewrap"):
        ToolMathEnv.prepare(ToolMathEnv.panel("train", count=1))


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("<think>a</think><answer>it is \\boxed{0.5}</answer>", 1.0),
        ("<think>a</think><answer>1/2</answer>", 1.0),
        ("<think>a</think><answer>\\boxed{2}</answer>", 0.0),
        ("<think>a</think>", 0.0),
    ],
)
@bubblewrap
def test_problems_of_files_are_judged_by_math_verify(tmp_path: Path, answer: str, reward: float):
    file = tmp_path / "m.jsonl"
    file.write_text(json.dumps({"id": "1", "problem": "Half?", "answer": "\\frac{1}{2}"}))
    (task,) = ToolMathEnv.panel("train", file=str(file))
    env, _ = started(task)
    found = env.step(said(answer))
    assert (found[1], found[2], found[4]["won"]) == (reward, True, reward == 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "none"}, "rlimit"),
        ({"judge": "gsm8k"}, "does not read"),
        ({"judge": "boxxed"}, "boxed"),
        ({"hops": [1]}, "hops"),
        ({"digits": 0}, "digits"),
        ({"operations": "/"}, "operations"),
        ({"max_calls": 0}, "max_calls"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str):
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        ToolMathEnv.panel("train", **options)


def test_splits_share_no_problem():
    train, heldout = (ToolMathEnv.panel(split, count=50) for split in ("train", "heldout"))
    assert not {task.id for task in train} & {task.id for task in heldout}
