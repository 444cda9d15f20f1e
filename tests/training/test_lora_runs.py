"""Training adapters: what a run saves, and going on with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from agentrl.config import load_config
from agentrl.errors import ConfigError, DataError
from agentrl.models import load, lora
from agentrl.training import train
from tests.training.runs import (
    assert_same_run,
    final_checkpoint,
    metrics,
    write_config,
)

pytest.importorskip("peft")
LORA = {"rank": 4, "alpha": 16}


@pytest.fixture(scope="module")
def base(finished_run: Path) -> Path:
    """A model that knows a little."""
    return final_checkpoint(finished_run)


def configure(folder: Path, base: Path, **model: Any) -> Path:
    """A configuration of a run with adapters, imitation and a KL to the reference included."""
    return write_config(
        folder,
        model={"path": str(base), "device": "cpu", "max_context": 256, "lora": LORA} | model,
        algorithm={"name": "grpo", "options": {"kl_coefficient": 0.1}},
        learner={"learning_rate": 1e-2, "microbatch_tokens": 2048},
        warmup={"episodes": 8, "steps": 4, "episodes_per_step": 4, "learning_rate": 1e-2},
        checkpoint={"every": 1, "keep": 0},
    )


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    train(load_config(configure(folder, base)))
    return folder / "run"


def interrupted(run: Path, folder: Path, step: int) -> None:
    """Copy a run as it was when killed after the checkpoint of a step."""
    shutil.copytree(run, folder / "run")
    (folder / "run" / "summary.json").unlink()
    for path in (folder / "run" / "checkpoints").iterdir():
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)


def test_the_run_learns_and_the_base_stays(run: Path, base: Path) -> None:
    assert any(line.get("learner/grad_norm", 0.0) > 1e-3 for line in metrics(run))
    before, after = (
        AutoModelForCausalLM.from_pretrained(path).state_dict()
        for path in (base, final_checkpoint(run))
    )
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    assert changed == {name for name in before if name.endswith("_proj.weight")}
    assert {path.name for path in (final_checkpoint(run) / lora.FOLDER).iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_a_resumed_run_ends_the_same_bit_for_bit(run: Path, base: Path, tmp_path: Path) -> None:
    interrupted(run, tmp_path, 2)
    train(load_config(configure(tmp_path, base)))
    assert_same_run(tmp_path / "run", run)
    ours, theirs = (final_checkpoint(path) / lora.FOLDER for path in (tmp_path / "run", run))
    for path in theirs.iterdir():
        assert (ours / path.name).read_bytes() == path.read_bytes()


def test_going_on_from_other_weights_is_refused(run: Path, base: Path, tmp_path: Path) -> None:
    interrupted(run, tmp_path, 1)
    model, tokenizer = load.load(base)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    load.save(model, tokenizer, tmp_path / "other")
    with pytest.raises(DataError, match="trained on other weights"):
        train(load_config(configure(tmp_path, tmp_path / "other")))


def test_going_on_without_adapters_is_refused(run: Path, base: Path, tmp_path: Path) -> None:
    interrupted(run, tmp_path, 1)
    with pytest.raises(ConfigError, match=r"`model\.lora` is null, but .* started with it"):
        train(load_config(configure(tmp_path, base, lora=None)))


def test_a_damaged_adapter_makes_the_checkpoint_corrupt(
    run: Path, base: Path, tmp_path: Path
) -> None:
    interrupted(run, tmp_path, 1)
    adapter = tmp_path / "run" / "checkpoints" / "step-000001" / lora.FOLDER
    (adapter / "adapter_model.safetensors").write_bytes(b"cut short")
    with pytest.raises(DataError, match=r"adapter/adapter_model\.safetensors cut short"):
        train(load_config(configure(tmp_path, base)))


def test_adapters_need_a_model(tmp_path: Path, base: Path) -> None:
    with pytest.raises(ConfigError, match=r"`model\.lora` is set, but `model\.path` is null"):
        load_config(configure(tmp_path, base, path=None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, r"`model\.lora\.rank` is 0"),
        ({"alpha": 0}, r"`model\.lora\.alpha` is 0"),
        ({"targets": "q_proj"}, r"`model\.lora\.targets` is 'q_proj'; it must be a list"),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, base: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(configure(tmp_path, base, lora=settings))
