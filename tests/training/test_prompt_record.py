"""Which version of a prompt a run used is written down, and the run goes on with no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agentrl import assembly
from agentrl.checkpoint import CheckpointStore
from agentrl.config import load_config
from agentrl.errors import DataError
from agentrl.storage import read_forest
from agentrl.training.resume import check_resumable
from tests.training.runs import STEPS

PROMPT = "compact@1"


def test_the_summary_and_every_rollout_file_name_the_prompt(finished_run: Path):
    assert json.loads((finished_run / "summary.json").read_text())["prompt"] == PROMPT
    files = sorted((finished_run / "rollouts").iterdir())
    assert len(files) == STEPS
    assert {read_forest(path).info["prompt"] for path in files} == {PROMPT}


def test_a_run_whose_prompt_has_been_reworded_since_does_not_go_on(finished_run: Path):
    checkpoint = CheckpointStore(finished_run / "checkpoints").latest()
    assert checkpoint is not None and checkpoint.state["prompt"] == PROMPT
    config = load_config(finished_run / "config.yaml")
    _, panels = assembly.build_panels(config)
    check_resumable(checkpoint, config, panels)
    older = {key: value for key, value in checkpoint.state.items() if key != "prompt"}
    check_resumable(replace(checkpoint, state=older), config, panels)
    reworded = replace(checkpoint, state={**checkpoint.state, "prompt": "compact@0"})
    with pytest.raises(DataError, match=r"prompt is compact@1, but .* started with compact@0"):
        check_resumable(reworded, config, panels)
