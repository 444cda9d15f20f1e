"""Small models from scratch: a byte-level BPE tokenizer and a random Qwen3 decoder.

Both are plain transformers objects: saved with `save_pretrained`, they load with `AutoTokenizer`
and `AutoModelForCausalLM` and need nothing of AgentRL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from agentrl.errors import ConfigError

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant", "tool")
SPECIAL_TOKENS = (PAD, END, *(f"<|{role}|>" for role in ROLES))

# One token opens a turn and one closes it: with short observations a longer frame, such as
# ChatML's, would be a third of every sequence.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|' + message.role + '|>' + message.content }}"
    "{%- if loop.first and tools %}{{ '\\n' + (tools | tojson) }}{% endif -%}"
    "{{ '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif -%}"
)


def build_tokenizer(texts: Iterable[str], *, vocab_size: int = 1000) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer with a compact chat template.

    Args:
        texts: what the tokens are learnt from; any other text can be encoded too, byte by byte.
        vocab_size: most entries, special tokens included; fewer if the texts hold fewer pairs.

    Returns:
        A tokenizer whose `<|end|>` ends a turn (`eos_token`) and whose `<|pad|>` pads.

    Raises:
        ConfigError: `vocab_size` has no room for the 256 bytes and the special tokens.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    least = len(alphabet) + len(SPECIAL_TOKENS)
    if vocab_size < least:
        raise ConfigError(f"`model.vocab_size` is {vocab_size}; it must be at least {least}.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(alphabet),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_model(
    tokenizer: Any,
    *,
    hidden_size: int = 128,
    layers: int = 4,
    heads: int = 4,
    kv_heads: int = 2,
    intermediate_size: int | None = None,
    max_context: int = 2048,
    rope_theta: float = 100.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Qwen3ForCausalLM:
    """Build a randomly initialised Qwen3 decoder with tied embeddings for `tokenizer`.

    Two choices make such a small model learn within a hundred steps to read its context, where
    the usual ones (standard deviation 0.02, theta 10000 or more) leave it on a plateau: weights
    start with standard deviation `hidden_size ** -0.5`, so that every layer passes signals of
    unit size, and a small `rope_theta`, so that positions a few tokens apart differ much.

    Args:
        tokenizer: gives the vocabulary size and the pad and end-of-turn ids.
        hidden_size: width of the residual stream.
        layers: decoder layers.
        heads: query heads; `hidden_size / heads`, the head width, must be even.
        kv_heads: key/value heads; they divide `heads`.
        intermediate_size: width of the feed-forward layer; three times `hidden_size` by default.
        max_context: longest sequence in tokens.
        rope_theta: base of the rotary embedding's wavelengths, which reach 2 pi theta tokens.
        seed: of the weights; the global random state is not touched.
        dtype: of the parameters.

    Raises:
        ConfigError: the sizes do not go together.
    """
    _check_sizes(hidden_size, heads, kv_heads)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden_size // heads,
        intermediate_size=intermediate_size or 3 * hidden_size,
        max_position_embeddings=max_context,
        max_window_layers=layers,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        initializer_range=float(hidden_size**-0.5),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    _shrink_residual_outputs(model, layers)
    return model.to(dtype)


def _check_sizes(hidden_size: int, heads: int, kv_heads: int) -> None:
    if heads < 1 or hidden_size % heads or (hidden_size // heads) % 2:
        raise ConfigError(
            f"`model.hidden_size` is {hidden_size} with `model.heads` {heads}; the width must be "
            "an even multiple of the heads."
        )
    if kv_heads < 1 or heads % kv_heads:
        raise ConfigError(f"{kv_heads} key/value heads do not divide {heads} query heads.")


def _shrink_residual_outputs(model: nn.Module, layers: int) -> None:
    """Scale what each layer adds by 1 / sqrt(2 * layers) (Radford et al. 2019, section 2.3)."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.mul_((2 * layers) ** -0.5)
