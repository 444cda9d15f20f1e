from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentrl.errors import ConfigError, DataError, TemplateError
from agentrl.models import attention
from agentrl.models import load as load_module
from agentrl.models.load import load, save
from agentrl.models.tiny import build_model


@pytest.fixture
def saved(tiny_model, tiny_tokenizer, tmp_path: Path) -> Path:
    save(tiny_model, tiny_tokenizer, tmp_path / "model")
    return tmp_path / "model"


def test_loading_gives_back_the_weights_and_the_tokenizer(saved, tiny_model, tiny_tokenizer):
    model, tokenizer = load(saved)
    assert model.config._attn_implementation == attention.NAME
    assert not model.training
    for (name, one), (other_name, two) in zip(
        tiny_model.state_dict().items(), model.state_dict().items(), strict=True
    ):
        assert name == other_name
        assert torch.equal(one, two)
    assert tokenizer.get_vocab() == tiny_tokenizer.get_vocab()
    assert tokenizer.chat_template == tiny_tokenizer.chat_template


def test_weights_take_the_dtype_asked_for(saved):
    model, _ = load(str(saved), dtype=torch.bfloat16, device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_our_attention_is_not_recorded(tiny_model, tiny_tokenizer, tmp_path):
    attention.install(tiny_model)
    save(tiny_model, tiny_tokenizer, tmp_path / "model")
    assert attention.NAME not in (tmp_path / "model" / "config.json").read_text()
    assert tiny_model.config._attn_implementation == attention.NAME


def test_saving_replaces_an_older_model_and_leaves_nothing_else(saved, tiny_tokenizer):
    (saved / "stale").touch()
    other = build_model(tiny_tokenizer, hidden_size=16, layers=1, seed=7)
    save(other, tiny_tokenizer, saved)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
    assert not (saved / "stale").exists()
    assert load(saved)[0].config.hidden_size == 16


def test_a_failed_save_leaves_the_older_model(saved, tiny_tokenizer, monkeypatch, tiny_model):
    before = (saved / "model.safetensors").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(tiny_tokenizer, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        save(tiny_model, tiny_tokenizer, saved)
    assert (saved / "model.safetensors").read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("path", ["./no/such/model", "/no/such/model", "no/such/model"])
def test_a_missing_directory_is_named_with_the_setting(path):
    with pytest.raises(ConfigError, match=r"`model\.path` is .*does not exist.*hub id"):
        load(path)


def test_a_directory_without_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"`model\.path`.*has no config\.json"):
        load(tmp_path)


def test_a_hub_id_that_cannot_be_had_is_a_config_error(monkeypatch):
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(load_module.AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(ConfigError, match=r"`model\.path` is 'some/model'.*no network"):
        load("some/model")


def test_a_tokenizer_without_chat_template_is_refused(saved):
    (saved / "chat_template.jinja").unlink()
    with pytest.raises(TemplateError, match="no chat template"):
        load(saved)


@pytest.mark.parametrize("keep", [0, 7, 1000, 20_000])
def test_truncated_weights_are_refused(saved, keep):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"`model\.path`"):
        load(saved)


def test_missing_tensors_are_refused_and_named(saved):
    path = saved / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.1.mlp.up_proj.weight"
    del tensors[name]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(DataError, match=name):
        load(saved)


def test_weights_of_another_size_are_refused(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(DataError, match=r"`model\.path`"):
        load(saved)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_damaged_json_is_refused(saved, file):
    (saved / file).write_text("{")
    with pytest.raises(DataError, match=r"`model\.path`"):
        load(saved)
