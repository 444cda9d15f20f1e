"""Runs whose episodes vLLM samples: with its own weights, with adapters, resumed, evaluated."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentrl.config import load_config
from agentrl.errors import EngineError
from agentrl.storage import read_forest
from agentrl.training import train
from tests.training.runs import LINE, STEPS, final_checkpoint, metrics, write_config

pytest.importorskip("vllm", reason="vLLM is not installed: `make test-vllm` installs and tests it")

ENGINE = {"kind": "vllm", "cache_gib": 0.1, "vllm": {"placement": "inline", "timeout": 120.0}}
MODEL = {**LINE["model"], "hidden_size": 64, "heads": 2}
"""Heads 32 wide: the narrowest that vLLM has on the CPU."""


def configure(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**LINE, "model": MODEL, "engine": ENGINE}
    return write_config(folder, settings, **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm")
    train(load_config(configure(folder, engine={**ENGINE, "sleep": True})))
    return folder / "run"


def test_episodes_are_sampled_with_the_weights_of_the_step_before(run):
    lines = metrics(run)
    assert len(lines) == STEPS + 1
    for step in range(1, STEPS + 1):
        forest = read_forest(run / "rollouts" / f"step-{step:06d}.jsonl")
        versions = {v for tree in forest.trees for node in tree.nodes for v, _ in node.versions}
        assert versions == {step - 1}


def test_the_learner_finds_the_log_probs_that_vllm_reported(run):
    for line in metrics(run)[1:]:
        assert line["learner/mismatch/max"] < 1e-4
        assert line["learner/mismatch/outside"] == line["learner/mismatch/undefined"] == 0
        assert line["rollout/failed"] == 0
        assert line["alarms/mismatch"] == 0
        assert line["learner/behaviour/mean"] == pytest.approx(1, abs=1e-4)  # token-tis is on
    assert any(line["learner/grad_norm"] > 0 for line in metrics(run)[1:])


def test_a_killed_run_goes_on_with_the_weights_of_its_checkpoint(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    shutil.rmtree(final_checkpoint(tmp_path / "run"))
    train(load_config(configure(tmp_path)))
    again, before = metrics(tmp_path / "run"), metrics(run)
    assert again[:STEPS] == before[:STEPS]
    assert again[STEPS]["learner/mismatch/max"] < 1e-4
    assert again[STEPS]["alarms/mismatch"] == 0


def test_adapters_reach_vllm_by_themselves(run, tmp_path):
    pytest.importorskip("peft")
    base = {"path": str(final_checkpoint(run)), "device": "cpu", "max_context": 256}
    path = configure(
        tmp_path,
        model={**base, "lora": {"rank": 4, "alpha": 16.0}},
        warmup={"episodes": 4, "steps": 4, "episodes_per_step": 4, "learning_rate": 3e-2},
        learner={"learning_rate": 1e-2, "microbatch_tokens": 2048},
        steps=3,
    )
    train(load_config(path))
    lines = metrics(tmp_path / "run")
    assert len(lines) == 4
    for line in lines[1:]:
        assert line["learner/mismatch/max"] < 1e-3
        assert line["rollout/failed"] == 0
    forest = read_forest(tmp_path / "run" / "rollouts" / "step-000003.jsonl")
    assert {v for t in forest.trees for n in t.nodes for v, _ in n.versions} == {2}


def test_a_checkpoint_is_evaluated_with_vllm(run, run_agentrl, tmp_path):
    command = ["eval", str(run), "--output", str(tmp_path / "scores"), "engine=vllm"]
    status, out, err = run_agentrl(*command, "engine.vllm.placement=inline", "engine.cache_gib=0.1")
    assert status == 0, err
    assert "heldout" in out


def test_an_engine_with_other_weights_than_the_learner_stops_the_run(tmp_path, monkeypatch):
    from agentrl.engines.vllm.transfer import Direct

    async def lose(self, backend, weights, version):
        await backend.call("agentrl_set_version", version)

    monkeypatch.setattr(Direct, "send", lose)
    with pytest.raises(EngineError, match=r"log-probs differ from the learner's by"):
        train(load_config(configure(tmp_path)), Console(quiet=True))
