"""The model and the episodes of `engines.py`."""

from __future__ import annotations

import copy
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers

PROMPT = 200
SAMPLED = 15
OBSERVATION = (40, 80)
VOCABULARY = 2048


@dataclass(frozen=True)
class Episode:
    """One planned episode: its prompt, and what comes back after each turn, as token ids."""

    number: int
    prompt: list[int]
    observations: list[list[int]]

    @property
    def length(self) -> int:
        """Tokens of the whole episode."""
        return len(self.prompt) + sum(SAMPLED + len(ids) for ids in self.observations)


def spread(values: list[float]) -> list[float]:
    """Return the least, the median and the greatest."""
    return [round(min(values), 4), round(statistics.median(values), 4), round(max(values), 4)]


def random_ids(draw: random.Random, count: int) -> list[int]:
    return [draw.randrange(1, VOCABULARY) for _ in range(count)]


def plan(count: int, turns: int) -> list[Episode]:
    """Return `count` episodes with no beginning in common; fewer are a part of more."""
    episodes = []
    for number in range(count):
        draw = random.Random(number)
        observations = [random_ids(draw, draw.randint(*OBSERVATION)) for _ in range(turns)]
        episodes.append(Episode(number, random_ids(draw, PROMPT), observations))
    return episodes


def history(episode: Episode, turn: int) -> list[int]:
    """Return the prompt of a turn, with random tokens for what was sampled before."""
    draw, ids = random.Random(f"sampled {episode.number}"), list(episode.prompt)
    for observation in episode.observations[:turn]:
        ids += random_ids(draw, SAMPLED) + observation
    return ids


def requested_tokens(episodes: Sequence[Episode]) -> int:
    total = 0
    for episode in episodes:
        length = len(episode.prompt)
        for observation in episode.observations:
            total += length + SAMPLED - 1
            length += SAMPLED + len(observation)
    return total


def models(name: str, context: int, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return the engines' model, and plain transformers with the same random weights."""
    kind = {"qwen2": transformers.Qwen2Config, "qwen3": transformers.Qwen3Config}[name]
    config = kind(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        initializer_range=0.08,
        max_position_embeddings=context,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    build = transformers.AutoModelForCausalLM.from_config
    ours = build(copy.deepcopy(config)).to(device, dtype).eval()
    plain = build(copy.deepcopy(config), attn_implementation="sdpa").to(device, dtype).eval()
    plain.load_state_dict(ours.state_dict())
    plain.generation_config.eos_token_id = None
    return ours, plain


def cache_bytes(model: Any, tokens: int) -> int:
    """Return the memory that the keys and values of `tokens` take, and a quarter more."""
    config, size = model.config, next(model.parameters()).element_size()
    token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * size
    return max(1 << 28, tokens * token * 5 // 4)
