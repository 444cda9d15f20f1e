"""Adapters: what they compute, what is trained, and what is saved."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from agentrl.errors import ConfigError, DataError, MissingExtraError
from agentrl.models import load, lora
from tests.learner.learner_samples import FAMILIES, tiny_model

peft = pytest.importorskip("peft")
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


def adapted(family: str = "qwen3", dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """A small model whose adapters have been trained, so to say: none of their numbers is 0."""
    model = tiny_model(family, dtype)
    lora.add(model, rank=3, alpha=6.0, seed=seed)
    generator = torch.Generator().manual_seed(1)
    for parameter in lora.adapters(model).values():
        noise = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        parameter.data += 0.05 * noise
    return model


@torch.no_grad()
def logits(model: nn.Module) -> torch.Tensor:
    model.config._attn_implementation = "sdpa"
    return model(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize("family", list(FAMILIES))
def test_new_adapters_change_nothing(family: str) -> None:
    before, model = logits(tiny_model(family)), tiny_model(family)
    lora.add(model, rank=4, alpha=8.0)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_only_adapters_are_trained_and_the_decoder_stays_in_place(family: str) -> None:
    model = tiny_model(family)
    decoder = model.model
    lora.add(model, rank=4, alpha=8.0)
    assert model.model is decoder
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 7 * 2  # A and B of seven layers in each of two blocks
    assert all(".lora_" in name for name in trained)
    assert {id(p) for p in lora.adapters(model).values()} == {
        id(p) for p in model.parameters() if p.requires_grad
    }


def test_a_layer_computes_w_x_plus_alpha_over_rank_b_a_x() -> None:
    model = adapted(dtype=torch.float64)
    layer = model.model.layers[1].mlp.up_proj
    weight, a, b = (
        m.weight for m in (layer.base_layer, layer.lora_A.default, layer.lora_B.default)
    )
    x = torch.randn(5, weight.shape[1], dtype=torch.float64)
    torch.testing.assert_close(layer(x), x @ weight.T + (6.0 / 3) * (x @ a.T @ b.T))


def test_targets_choose_the_layers() -> None:
    model = tiny_model()
    lora.add(model, rank=2, alpha=2.0, targets=("v_proj", "q_proj"))
    assert {name.split(".")[4] for name in lora.adapters(model)} == {"q_proj", "v_proj"}


@pytest.mark.parametrize("name", ["query", "lm_head", "embed_tokens"])
def test_an_unknown_target_is_named_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}'.*down_proj.*q_proj.*v_proj"):
        lora.add(tiny_model(), rank=2, alpha=2.0, targets=("q_proj", name))


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_adapters_are_at_least_float32(dtype: torch.dtype, wanted: torch.dtype) -> None:
    model = adapted(dtype=dtype)
    assert {p.dtype for p in lora.adapters(model).values()} == {wanted}
    assert logits(model).dtype == dtype


def test_weights_depend_on_the_seed_and_leave_the_global_generator_alone() -> None:
    first, again, other = (
        torch.cat([p.flatten() for p in lora.adapters(adapted(seed=seed)).values()])
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    model = tiny_model()
    before = torch.random.get_rng_state()
    lora.add(model, rank=2, alpha=2.0)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_weights_compute_the_same(family: str, dtype: torch.dtype) -> None:
    model, plain = adapted(family, dtype), tiny_model(family, dtype)
    plain.load_state_dict(lora.merged_state(model))
    tolerance = 1e-4 if dtype is torch.float32 else 1e-11
    assert (logits(model) - logits(plain)).abs().max() < tolerance
    assert (logits(model) - logits(tiny_model(family, dtype))).abs().max() > 0.1


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft reads it
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_saved_model_loads_with_plain_transformers_and_with_peft(
    family: str, tmp_path: Path, tiny_tokenizer: object
) -> None:
    model = adapted(family)
    expected = logits(model)
    load.save(model, tiny_tokenizer, tmp_path / "model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    assert not any("lora" in name for name, _ in plain.named_parameters())
    torch.testing.assert_close(logits(plain), expected, rtol=1e-4, atol=1e-4)
    base = tiny_model(family, torch.float32)
    wrapped = peft.PeftModel.from_pretrained(base, tmp_path / "model" / lora.FOLDER).eval()
    assert torch.equal(wrapped(input_ids=IDS, use_cache=False).logits, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loading_restores_the_adapters_bit_for_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    model, fresh = adapted(dtype=dtype), tiny_model(dtype=dtype)
    lora.save(model, tmp_path / "adapter")
    lora.add(fresh, rank=3, alpha=6.0, seed=7)
    lora.load(fresh, tmp_path / "adapter")
    ours, theirs = lora.adapters(fresh), lora.adapters(model)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert torch.equal(logits(fresh), logits(model))


def test_an_adapter_of_other_weights_or_another_rank_is_refused(tmp_path: Path) -> None:
    lora.save(adapted(), tmp_path / "adapter")
    other = adapted()
    other.model.embed_tokens.weight.data[3] += 1
    with pytest.raises(DataError, match="trained on other weights"):
        lora.load(other, tmp_path / "adapter")
    wider = tiny_model(dtype=torch.float32)
    lora.add(wider, rank=4, alpha=6.0)
    with pytest.raises(DataError, match="another rank"):
        lora.load(wider, tmp_path / "adapter")


@pytest.mark.parametrize("name", ["base.json", "adapter_model.safetensors"])
def test_a_damaged_adapter_is_a_data_error(name: str, tmp_path: Path) -> None:
    model = adapted()
    lora.save(model, tmp_path / "adapter")
    (tmp_path / "adapter" / name).write_bytes(b"{")
    with pytest.raises(DataError, match="cannot be read"):
        lora.load(model, tmp_path / "adapter")


def test_other_values_hold_only_inside_the_block() -> None:
    model = adapted()
    trained = logits(model)
    zeros = {name: torch.zeros_like(p) for name, p in lora.adapters(model).items()}
    with pytest.raises(RuntimeError, match="inside"), lora.replaced(model, zeros):
        assert torch.equal(logits(model), logits(tiny_model(dtype=torch.float32)))
        raise RuntimeError("inside")
    assert torch.equal(logits(model), trained)


def test_without_peft_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"agentrl\[lora\]"):
        lora.add(tiny_model(), rank=2, alpha=2.0)
