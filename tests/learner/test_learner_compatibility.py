import pytest
import torch
from learner_samples import SHAPE, tiny_model
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from agentrl.errors import ConfigError
from agentrl.learner.compatibility import check_model


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_supported_families_pass_and_are_left_as_they_were(family: str, dtype: torch.dtype) -> None:
    model = tiny_model(family, dtype)
    before = model.config._attn_implementation
    check_model(model)
    assert model.config._attn_implementation == before


def test_sliding_windows_are_refused() -> None:
    model = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=8))
    with pytest.raises(ConfigError, match="sliding_attention"):
        check_model(model)
    check_model(MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=None)))


def test_soft_capped_logits_are_refused() -> None:
    config = Gemma2Config(
        **SHAPE, head_dim=8, layer_types=["full_attention"] * 2, final_logit_softcapping=0.5
    )
    model = Gemma2ForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(10)
    with pytest.raises(ConfigError, match="soft-capped or scaled"):
        check_model(model)


def test_scaled_logits_are_refused() -> None:
    model = GraniteForCausalLM(GraniteConfig(**SHAPE, logits_scaling=4.0))
    with torch.no_grad():
        model.lm_head.weight.mul_(10)
    with pytest.raises(ConfigError, match="soft-capped or scaled"):
        check_model(model)


def test_other_architectures_and_dropout_are_refused() -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=11))
    for model in (gpt2, nn.Linear(2, 2)):
        with pytest.raises(ConfigError, match="not a decoder"):
            check_model(model)
    model = tiny_model()
    model.model.dropout = nn.Dropout(0.1)
    with pytest.raises(ConfigError, match="dropout"):
        check_model(model)
