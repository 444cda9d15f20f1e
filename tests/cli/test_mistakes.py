"""Every mistake gives one clear line on standard error, exit status 2 and no traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.training.runs import CORRIDOR, final_checkpoint, write_config


@pytest.fixture
def fails(run_agentrl):
    """Runs a command that must fail with one line; returns the line."""

    def run(*arguments: str) -> str:
        status, _, error = run_agentrl(*arguments)
        lines = error.strip().splitlines()
        assert status == 2, error
        assert lines[-1].startswith("agentrl: "), error
        assert not any(line.startswith(("Traceback", "agentrl: ")) for line in lines[:-1]), error
        return lines[-1]

    return run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rollout.group_sise=4", "Did you mean 'rollout.group_size'?"),
        ("stepps=4", "Did you mean 'steps'?"),
        ("environment.id=agentrl/TextWorl-v0", "Did you mean 'agentrl/TextWorld-v0'?"),
        ("environment.id=nowhere.to.be.found:x/Y-v0", "'nowhere.to.be.found'"),
        ("environment.train.coumt=3", "Did you mean 'environment.train.count'?"),
        ("environment.train.count=many", "`environment.train`"),
        ("environment.prompt=compct", "`environment.prompt` 'compct'"),
        ("algorithm.name=grop", "Did you mean 'grpo'?"),
        ("algorithm.options.clip_lo=0.1", "Did you mean 'clip_low'?"),
        ("algorithm.options.clip_low=-1", "clip_low"),
        ("algorithm.options.kl_coefficient=high", "algorithm.options"),
        ("rollout.temperature=0", "`rollout.temperature` is 0"),
        ("rollout.group_size=-1", "`rollout.group_size` is -1; it must be an integer >= 0"),
        ("rollout.context=windw(3)", "`rollout.context` is 'windw(3)'"),
        ("learner.learning_rate=-1", "`learner.learning_rate` is -1"),
        ("model.hidden_size=33", "`model.hidden_size` is 33"),
        ("model.device=warp", "`model.device` is 'warp'"),
        ("engine.kind=vlm", "`engine.kind` is 'vlm'"),
        ("learner.schedule=linear learner.warmup_steps=100", "`learner.warmup_steps` is 100"),
        ("model.path=./no/such/model", "`model.path` is './no/such/model', which does not exist"),
        ("model.max_context=8", "the context holds 8"),
        ("group_size", "write it as `section.key=value`"),
        ("rollout.top_p=[", "not valid YAML"),
    ],
)
def test_a_wrong_setting(fails, tmp_path: Path, override: str, message: str):
    config = write_config(tmp_path, CORRIDOR)
    assert message in fails("train", str(config), *override.split(" "))


def test_a_missing_or_malformed_configuration_file(fails, tmp_path: Path):
    assert "no configuration file" in fails("train", str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("steps: [1")
    assert "not valid YAML" in fails("train", str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    assert "mapping of settings" in fails("train", str(tmp_path / "list.yaml"))


def test_a_model_path_that_is_no_model(fails, tmp_path: Path, finished_run: Path):
    config = str(write_config(tmp_path, CORRIDOR))
    (tmp_path / "folder").mkdir()
    message = fails("train", config, f"model.path={tmp_path / 'folder'}")
    assert "has no config.json" in message
    model = tmp_path / "model"
    shutil.copytree(final_checkpoint(finished_run), model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "Cannot load the weights" in fails("train", config, f"model.path={model}")


def test_a_tokenizer_without_chat_template(fails, tmp_path: Path, finished_run: Path):
    model = tmp_path / "model"
    shutil.copytree(final_checkpoint(finished_run), model)
    (model / "chat_template.jinja").unlink()
    tokenizer = json.loads((model / "tokenizer_config.json").read_text())
    tokenizer.pop("chat_template", None)
    (model / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    config = str(write_config(tmp_path, CORRIDOR))
    assert "has no chat template" in fails("train", config, f"model.path={model}")


@pytest.fixture
def unfinished(finished_run: Path, tmp_path: Path) -> Path:
    """A configuration whose run has done all steps but has no summary yet."""
    config = write_config(tmp_path, tensorboard=False)
    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    return config


def test_going_on_with_another_panel(fails, unfinished: Path):
    message = fails("train", str(unfinished), "environment.train.count=3")
    assert "The train panel has hash" in message and "was started with" in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.learning_rate=0.5", "`learner.learning_rate` is 0.5, but the unfinished run"),
        ("algorithm.name=rloo", "`algorithm.name` is 'rloo'"),
        ("rollout.group_size=2", "was started with 4"),
        ("engine.correction=token-tis", "was started with 'auto'"),
        ("steps=1", "has done 4 steps"),
    ],
)
def test_going_on_with_settings_that_change_the_result(fails, unfinished, override, message):
    assert message in fails("train", str(unfinished), override)


def test_going_on_with_settings_that_do_not_change_the_result(run_agentrl, unfinished: Path):
    status, output, error = run_agentrl("train", str(unfinished), "environment.call_timeout=20")
    assert status == 0, error
    assert "Going on from" in output


def damage_weights(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])


def damage_state(checkpoint: Path) -> None:
    data = bytearray((checkpoint / "trainer.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (checkpoint / "trainer.pt").write_bytes(data)


def damage_manifest(checkpoint: Path) -> None:
    (checkpoint / "checkpoint.json").write_text('{"format"')


def remove_manifest(checkpoint: Path) -> None:
    (checkpoint / "checkpoint.json").unlink()


def remove_tokenizer(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()


def raise_format(checkpoint: Path) -> None:
    path = checkpoint / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_weights, "is corrupt: model.safetensors cut short or altered"),
        (damage_state, "is corrupt: trainer.pt cut short or altered"),
        (damage_manifest, "no readable checkpoint.json"),
        (remove_manifest, "no readable checkpoint.json"),
        (remove_tokenizer, "is corrupt: tokenizer.json missing"),
        (raise_format, "has format 99"),
    ],
)
def test_a_corrupt_checkpoint(fails, unfinished: Path, damage, message: str):
    damage(final_checkpoint(unfinished.parent / "run"))
    found = fails("train", str(unfinished))
    assert message in found
    assert ("Delete" in found) == (damage is not raise_format)


def test_a_run_goes_on_without_its_corrupt_checkpoint(fails, run_agentrl, unfinished: Path):
    broken = final_checkpoint(unfinished.parent / "run")
    damage_weights(broken)
    assert f"Delete {str(broken)!r}" in fails("train", str(unfinished))
    shutil.rmtree(broken)
    status, output, _ = run_agentrl("train", str(unfinished))
    assert status == 0 and "Going on from" in output


def test_evaluating_a_corrupt_checkpoint(fails, unfinished: Path):
    broken = final_checkpoint(unfinished.parent / "run")
    damage_weights(broken)
    assert "is corrupt" in fails("eval", str(broken))


def test_evaluating_what_is_no_model(fails, finished_run: Path, tmp_path: Path):
    assert "no model or run directory" in fails("eval", str(tmp_path / "none"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CORRIDOR))
    assert "no checkpoint yet" in fails("eval", str(tmp_path))
    model = tmp_path / "elsewhere" / "model"
    shutil.copytree(final_checkpoint(finished_run), model)
    assert "`--config`" in fails("eval", str(model))
    assert "has no config.json" in fails(
        "eval", str(tmp_path / "elsewhere"), "--config", str(tmp_path / "config.yaml")
    )


def test_playing_what_does_not_exist(fails):
    assert "Did you mean 'agentrl/TextWorld-v0'?" in fails("play", "agentrl/TextWorld-v1")
    corridor = "tests.envs.corridor:tests/Corridor-v0"
    assert "tasks 0 to 3" in fails("play", corridor, "--task", "9")
    assert "Did you mean '--panel.count'?" in fails("play", corridor, "--panel", "coumt=1")
    assert "Did you mean" in fails("algorithms", "grop")
