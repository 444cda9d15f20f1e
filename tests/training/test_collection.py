"""What a step samples besides its groups: further rounds, control rollouts, prompts with cases."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentrl.config import load_config
from agentrl.storage import read_forest
from agentrl.training import train
from agentrl.training.run_directory import RunDirectory
from tests.training.runs import LINE, TINY, metrics, write_config

STEPS = 3


def run(folder: Path, console: Console, name: str, **rollout: Any) -> Path:
    """Train three steps with an algorithm and return the run directory."""
    folder.mkdir(exist_ok=True)
    changes = {"steps": STEPS, "algorithm": {"name": name}, "rollout": TINY["rollout"] | rollout}
    changes["checkpoint"] = {"every": 1, "keep": 0, "rollouts_every": 1}
    changes["model"] = TINY["model"] | {"max_context": 1024}
    train(load_config(write_config(folder, LINE, **changes)), console)
    return folder / "run"


def test_tasks_are_drawn_again_until_enough_groups_have_contrast(
    tmp_path: Path, game_cache: None, quiet_console: Console
) -> None:
    folder = run(tmp_path, quiet_console, "dapo", max_rounds=4)
    lines = metrics(folder)[1:]
    assert any(line.get("rollout/rounds", 1) > 1 for line in lines)
    for line in lines:
        trees = read_forest(RunDirectory(folder).rollouts(line["step"])).trees
        rounds = {tree.id.rpartition("-")[0] for tree in trees}
        assert len(rounds) == line.get("rollout/rounds", 1) <= 4
        assert len({tree.id for tree in trees}) == len(trees)
        kept = [tree for tree in trees if len({e.reward for e in tree.counted()}) > 1]
        assert len(kept) <= 2
        assert len(kept) == 2 or len(rounds) == 4
        if len(rounds) > 1:
            assert line["rollout/groups_discarded"] == len(trees) - len(kept)


def test_one_round_trains_on_what_there_is(
    tmp_path: Path, game_cache: None, quiet_console: Console
) -> None:
    folder = run(tmp_path, quiet_console, "dapo", max_rounds=1)
    assert not any("rollout/rounds" in line for line in metrics(folder))


def test_control_rollouts_are_marked_and_in_no_score(
    tmp_path: Path, game_cache: None, quiet_console: Console
) -> None:
    folder = run(tmp_path, quiet_console, "aepo_arbitrary")
    for line in metrics(folder)[1:]:
        trees = read_forest(RunDirectory(folder).rollouts(line["step"])).trees
        control = [tree for tree in trees if tree.info.get("source") == "control"]
        assert len(trees) == 3 and len(control) == 1
        assert control[0].task == trees[0].task
        assert line["rollout/episodes"] == 8
        assert line["learner/rows"] == 12
        assert line["learner/mismatch/max"] < 1e-3  # of ordinary rows only


@pytest.mark.parametrize(
    "name", [pytest.param("memento", marks=pytest.mark.slow), "aepo_arbitrary"]
)
def test_a_resumed_run_goes_on_with_memory_and_controllers(
    name: str, tmp_path: Path, game_cache: None, quiet_console: Console
) -> None:
    folder = run(tmp_path / "whole", quiet_console, name)
    again = tmp_path / "again"
    again.mkdir()
    shutil.copytree(folder, again / "run")
    (again / "run" / "summary.json").unlink()
    for step in (2, 3):
        shutil.rmtree(again / "run" / "checkpoints" / f"step-{step:06d}")
    run(again, quiet_console, name)
    assert metrics(again / "run") == metrics(folder)


def test_cases_of_earlier_steps_are_in_later_prompts(
    tmp_path: Path, game_cache: None, quiet_console: Console
) -> None:
    folder = run(tmp_path, quiet_console, "memento")
    lengths = []
    for step in (1, 3):
        trees = read_forest(RunDirectory(folder).rollouts(step)).trees
        lengths.append(min(len(tree.nodes[0].ids) for tree in trees))
    assert lengths[1] > lengths[0] + 20
