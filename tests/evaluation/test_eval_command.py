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


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("whole_run", [True, False])
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
