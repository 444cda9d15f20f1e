"""`agentrl eval` gives the numbers that the run itself gave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.runs import TINY, final_checkpoint, trees, write_config


def played(path: Path) -> list[Any]:
    """Stored trees without the policy version, which only a training run counts."""
    found = trees(path)
    for tree in found:
        for node in tree.nodes:
            node.versions = []
    return found


@pytest.mark.parametrize(("split", "whole_run"), [("train", True), ("heldout", False)])
def test_a_run_and_its_checkpoint_score_as_in_the_final_evaluation(
    run_agentrl, finished_run: Path, tmp_path: Path, split: str, whole_run: bool
):
    what = finished_run if whole_run else final_checkpoint(finished_run)
    status, output, error = run_agentrl(
        "eval", str(what), "--split", split, "--output", str(tmp_path)
    )
    assert status == 0, error
    last = finished_run / "eval" / f"step-{TINY['steps']:06d}-{split}"
    assert json.loads(output) == json.loads(last.with_suffix(".json").read_text())
    again = tmp_path / f"{final_checkpoint(finished_run).name}-{split}"
    assert played(again.with_suffix(".jsonl")) == played(last.with_suffix(".jsonl"))


def test_scores_go_beside_the_run_s_own_and_never_over_them(
    run_agentrl, finished_run: Path, tmp_path: Path
):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    before = {path: path.read_bytes() for path in (run / "eval").iterdir()}
    assert run_agentrl("eval", str(run), "evaluation.temperature=0")[0] == 0
    assert {path: path.read_bytes() for path in before} == before
    assert list((run / "eval" / "standalone").glob("*-heldout.json"))


def test_any_model_directory_is_scored_with_a_configuration(
    run_agentrl, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = tmp_path / "model"
    shutil.copytree(final_checkpoint(finished_run), model)
    for name in ("checkpoint.json", "trainer.pt"):
        (model / name).unlink()
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path)
    status, output, error = run_agentrl(
        "eval", "model", "--config", str(config), "evaluation.episodes_per_task=2"
    )
    assert status == 0, error
    score = json.loads(output)
    assert (score["tasks"], score["episodes"]) == (2, 4)
    assert (tmp_path / "evaluations" / "model-heldout.jsonl").is_file()
    assert not (tmp_path / "run").exists()


def test_several_splits_give_one_table_and_stored_trajectories_give_it_again(
    run_agentrl, finished_run: Path, tmp_path: Path
):
    status, output, error = run_agentrl(
        "eval", str(finished_run), "--split", "heldout", "test", "evaluation.temperature=0",
        "--panel", "count=2", "--episodes", "2", "--output", str(tmp_path),
    )  # fmt: skip
    assert status == 0, error
    table = json.loads(output)
    assert [(panel["split"], sum(panel["tasks"].values())) for panel in table["panels"]] == [
        ("heldout", 2),
        ("test", 2),
    ]
    assert {row["split"] for row in table["rows"]} == {"heldout", "test"}
    assert all(row["episodes"] == 2 * row["tasks"] for row in table["rows"])
    settings = table["settings"]
    assert (settings["temperature"], settings["episodes_per_task"]) == (0, 2)
    assert settings["prompt"].startswith("compact@")
    assert "hash " + table["panels"][1]["hash"] in error  # the table, for people
    model = final_checkpoint(finished_run).name
    paths = [str(tmp_path / f"{model}-{split}.jsonl") for split in ("heldout", "test")]
    status, output, _ = run_agentrl("eval", "--rescore", *paths, "--format", "json")
    assert (status, json.loads(output)) == (0, table)


def test_the_score_of_a_split_does_not_depend_on_those_before_it(
    run_agentrl, finished_run: Path, tmp_path: Path
):
    model = final_checkpoint(finished_run).name
    for name, splits in (("one", ["heldout"]), ("two", ["train", "heldout"])):
        output = ["--output", str(tmp_path / name)]
        assert run_agentrl("eval", str(finished_run), "--split", *splits, *output)[0] == 0
    one, two = (tmp_path / name / f"{model}-heldout.jsonl" for name in ("one", "two"))
    assert played(one) == played(two)


def test_another_split_has_the_run_s_options_but_is_whole(finished_run: Path):
    from agentrl.config import load_config
    from agentrl.envs import env_class
    from agentrl.evaluation.checkpoint import split_panel

    config = load_config(finished_run / "config.yaml")
    cls = env_class(config.environment.id)
    test = split_panel(config, cls, "test", {})
    assert len(test) == 100  # TextWorld's own number, not the run's `count=2`
    assert all(task.options["max_steps"] == 4 for task in test)
    assert len(split_panel(config, cls, "heldout", {})) == 2
    assert len(split_panel(config, cls, "heldout", {"count": 3})) == 3


def test_the_model_may_stand_behind_the_split(run_agentrl, finished_run: Path, tmp_path: Path):
    status, output, error = run_agentrl(
        "eval", "--output", str(tmp_path), "--split", "train", str(finished_run)
    )
    assert status == 0, error
    assert json.loads(output)["panel"] == "textworld-train"


def test_trajectories_without_a_header_are_scored_too(run_agentrl, finished_run: Path):
    last = finished_run / "eval" / f"step-{TINY['steps']:06d}-heldout"
    status, output, _ = run_agentrl("eval", "--rescore", f"{last}.jsonl", "--format", "json")
    table, score = json.loads(output), json.loads(last.with_suffix(".json").read_text())
    (row,) = [row for row in table["rows"] if row["task_type"] == "all"]
    assert status == 0 and table["panels"][0]["hash"] == score["panel_hash"]
    for name in ("success", "score", "episodes"):
        assert row[name] == score[name]
    assert row["interval"] == score["success_interval"]
