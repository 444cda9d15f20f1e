"""Random models, and what a plain Hugging Face forward says about an engine's completions."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from agentrl.engines import SamplingParams

VOCABULARY = 400
FAMILIES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}


def random_model(family: str = "qwen3", seed: int = 0, max_context: int = 512) -> nn.Module:
    """A tiny model whose next-token distributions are far from uniform."""
    config_class, model_class = FAMILIES[family]
    torch.manual_seed(seed)
    config = config_class(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,  # vLLM's smallest on the CPU
        max_position_embeddings=max_context,
        initializer_range=0.15,
        tie_word_embeddings=family != "llama",
        pad_token_id=0,
    )
    return model_class(config).eval()


def plain_copy(model: nn.Module) -> nn.Module:
    """The same weights in a model that runs transformers' own attention."""
    config = copy.deepcopy(model.config)
    config._attn_implementation = "eager"
    twin = type(model)(config)
    twin.load_state_dict(model.state_dict())
    return twin.eval()


class Reference:
    """A plain forward of prompt plus completion, without any cache."""

    def __init__(self, model: nn.Module) -> None:
        self.model = plain_copy(model)

    @torch.no_grad()
    def logprobs(self, prompt: Sequence[int], ids: Sequence[int], temperature: float) -> Tensor:
        """[T, V]: log-softmax before each sampled token."""
        logits = self.model(torch.tensor([[*prompt, *ids]])).logits[0].double()
        return torch.log_softmax(logits[len(prompt) - 1 : -1] / (temperature or 1.0), dim=-1)

    def check(self, prompt: Sequence[int], completion: Any, params: SamplingParams) -> None:
        """Log-probs and entropies of an untruncated completion are those of this model."""
        table = self.logprobs(prompt, completion.ids, params.temperature)
        chosen = table.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
        torch.testing.assert_close(
            torch.tensor(completion.logprobs, dtype=torch.double), chosen, atol=1e-4, rtol=0
        )
        entropies = -(table.exp() * table).sum(-1)
        torch.testing.assert_close(
            torch.tensor(completion.entropies, dtype=torch.double), entropies, atol=1e-4, rtol=0
        )


def run(coroutine: Coroutine[Any, Any, Any], seconds: float = 60.0) -> Any:
    """Run a coroutine to its end, with a deadline."""

    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, seconds)

    return asyncio.run(bounded())


def prompt_of(length: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()
