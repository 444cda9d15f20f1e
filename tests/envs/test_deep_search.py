"""DeepSearch: pages that must be found and opened, generated or of files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentrl.envs import TextEnv, env_class, make
from agentrl.envs.tooluse.action import Action
from agentrl.envs.tooluse.deep_search import DeepSearchEnv
from agentrl.envs.tooluse.world import world
from agentrl.errors import ConfigError, UnknownNameError
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/DeepSearch-v0"


def started(task: Task) -> tuple[TextEnv, Any]:
    env = make(ENV_ID)
    return env, env.reset(seed=task.seed, options=dict(task.options))[1]


def test_it_is_registered():
    assert env_class(ENV_ID) is DeepSearchEnv


def test_the_expert_opens_every_page_of_the_path_and_wins():
    for task in DeepSearchEnv.panel("train", count=15, hops=[1, 2, 3]):
        env, info = started(task)
        opened, terminated, reward = [], False, 0.0
        while not terminated:
            opened.append(info["expert_action"])
            _, reward, terminated, _, info = env.step(info["expert_action"])
        assert (reward, info["won"]) == (1.0, True)
        assert [a for a in opened if a.startswith("browse")] == [
            f"browse: {title}" for title in task.options["path"]
        ]


def test_a_search_alone_never_shows_the_answer():
    for task in DeepSearchEnv.panel("train", count=40, hops=[1, 2, 3], topk=10):
        env, _ = started(task)
        for title in world(task.options["world"]).pages:
            found = env.step(f"search: {title}")[0]
            assert title in found and not any(
                task.answer in line.split()[1:] for line in found.splitlines()
            )
            env, _ = started(task)


def test_the_expert_comes_back_after_a_wrong_turn():
    task = DeepSearchEnv.panel("train", count=1, hops=[2])[0]
    env, info = started(task)
    first = info["expert_action"]
    wrong = next(t for t in world(task.options["world"]).pages if t not in task.options["path"])
    *_, info = env.step(f"browse: {wrong}")
    assert info["expert_action"].rpartition(": ")[2] == first.rpartition(": ")[2]


def test_six_calls_may_be_made_and_then_the_expert_answers():
    env, info = started(DeepSearchEnv.panel("train", count=1)[0])
    for _ in range(6):
        *_, info = env.step("search: nothing")
    assert info["expert_action"].startswith("answer: ")
    assert "All 6 tool calls" in env.step("search: x")[0]


def test_python_is_there_only_where_the_panel_says_so():
    env, _ = started(DeepSearchEnv.panel("train", count=1)[0])
    assert "There is no tool 'python'" in env.step("python: 1 + 1")[0]
    for name, prompt in DeepSearchEnv.prompts.items():
        names = [schema["function"]["name"] for schema in prompt.schemas]
        assert ("python" in names) == ("python" in name)
    with pytest.raises(ConfigError, match="python: true"):
        DeepSearchEnv.panel("train", level="rlimit")
    with pytest.raises(UnknownNameError, match="bwrap"):
        DeepSearchEnv.panel("train", python=True, level="bwarp")


def test_a_file_over_a_corpus_is_searched_opened_and_rewarded_as_in_arpo(tmp_path: Path):
    questions, corpus = tmp_path / "q.jsonl", tmp_path / "c.jsonl"
    questions.write_text(json.dumps({"id": "1", "question": "Where?", "golden_answers": ["Rhine"]}))
    rows = [
        {"id": "0", "contents": '"Alba"\nAlba is a town.'},
        {"id": "1", "contents": '"Alba"\nIt lies on the Rhine. ' + "x" * 2000},
        {"id": "2", "contents": '"Birk"\nBirk is near Alba.'},
    ]
    corpus.write_text("\n".join(map(json.dumps, rows)))
    (task,) = DeepSearchEnv.panel("train", file=str(questions), corpus=str(corpus))
    env, _ = started(task)
    prompt = DeepSearchEnv.prompts["arpo"]

    def say(text: str) -> Any:
        return env.step(prompt.parse(text, {}).action)

    found = say("<think>a</think><search>Alba</search>")[0]
    assert "[1] Alba" in found and "Birk" in found and "x" * 1001 not in found
    page = say("<think>b</think><browse>alba</browse>")[0]
    assert "Alba is a town." in page and "It lies on the Rhine." in page and "Birk" not in page
    assert "There is no page" in say("<think>c</think><browse>Rom</browse>")[0]
    ended = say("<think>d</think><answer>\\boxed{the Rhine}</answer>")
    assert ended[1] == 1.0 and ended[2] and ended[4]["won"]


def test_an_answer_without_the_form_is_worth_minus_one_in_files(tmp_path: Path):
    questions = tmp_path / "q.jsonl"
    questions.write_text(json.dumps({"id": "1", "question": "Where?", "golden_answers": ["Rhine"]}))
    (task,) = DeepSearchEnv.panel("train", file=str(questions), server="http://127.0.0.1:9")
    env, _ = started(task)
    action = DeepSearchEnv.prompts["arpo"].parse("<answer>Rhine</answer>", {}).action
    assert env.step(action)[1] == -1.0
    with pytest.raises(ConfigError, match="`pages` is"):
        DeepSearchEnv.panel("train", file=str(questions), server="http://x", pages="nowhere")


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="NOT TESTED: no bubblewrap")
def test_the_file_of_a_question_is_named_and_read_by_programs_only_there(tmp_path: Path):
    attached = tmp_path / "table.csv"
    attached.write_text("a,b\n1,41")
    row = {"task_id": "g", "Question": "Sum?", "Final answer": "42", "Level": 1}
    questions = tmp_path / "metadata.jsonl"
    questions.write_text(json.dumps(row | {"file_name": "table.csv"}))
    options = {"file": str(questions), "form": "gaia", "server": "http://x", "python": True}
    panel = DeepSearchEnv.panel("train", **options)
    (task,) = panel
    env, info = started(task)
    assert info["task"] == f"Sum?\n\nThe attached file is at {attached}"
    assert "41" in env.step(f"python: print(open({str(attached)!r}).read())")[0]
    moved = replace(task, options={**task.options, "attachment": "/elsewhere/table.csv"})
    assert TaskPanel.of("p", [moved]).hash == panel.hash


def test_parsed_actions_of_all_prompts_reach_the_tools():
    task = DeepSearchEnv.panel("train", count=1)[0]
    title = task.options["path"][0]
    for prompt in DeepSearchEnv.prompts.values():
        env, info = started(task)
        parsed = prompt.parse(prompt.answer(f"browse: {title}"), info)
        assert parsed.valid
        assert Action.of(parsed.action, DeepSearchEnv.schemas).reply.calls[0].name == "browse"
        assert world(task.options["world"]).pages[title].text in env.step(parsed.action)[0]
