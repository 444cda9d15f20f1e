"""Tiny models, random forests and plain-loop references for the learner's tests."""

from __future__ import annotations

import functools
import random
from typing import Any

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from agentrl.learner.rows import Rows
from agentrl.tree import Episode, Forest, Node, StopReason, Tree, Writer
from agentrl.types import Task

VOCAB = 41
SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
FAMILIES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 8}),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
}


def tiny_model(
    family: str = "qwen3", dtype: torch.dtype = torch.float64, **extra: Any
) -> nn.Module:
    """A random model with larger weights than the initialiser's, so that attention matters."""
    config_class, model_class, fields = FAMILIES[family]
    torch.manual_seed(0)
    model = model_class(config_class(**{**SHAPE, **fields, **extra}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(8)
    if dtype is torch.float64:
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm"):  # transformers computes it in float32
                module.forward = functools.partial(_exact_norm, module)
    return model.to(dtype).eval()


def _exact_norm(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return module.weight * x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def make_task(number: int = 0) -> Task:
    return Task(id=f"task-{number}", env_id="agentrl/Toy-v0")


def sampled(tree: Tree, parent: int, rng: random.Random, turn: int, most: int = 4) -> Node:
    count = rng.randint(1, most)
    ids = [rng.randrange(VOCAB) for _ in range(count)]
    logprobs = [-rng.random() * 3 for _ in ids]
    return tree.add(
        parent, Writer.MODEL, ids, turn=turn, logprobs=logprobs, reward=rng.choice([0.0, 0.5])
    )


def random_tree(seed: int, name: str = "tree", turns: int = 4, members: int = 5) -> Tree:
    """Episodes that branch off each other anywhere; one in five failed; some have two sequences."""
    rng = random.Random(seed)
    tree = Tree(id=name, task=make_task(seed))
    prompt = tree.add(None, Writer.ENVIRONMENT, [rng.randrange(VOCAB) for _ in range(6)])
    tips: list[tuple[int, int]] = [(prompt.id, 0)]
    for number in range(members):
        tip, turn = rng.choice(tips)
        sequences = []
        while turn < turns:
            tip = sampled(tree, tip, rng, turn).id
            turn += 1
            tips.append((tip, turn))
            if turn < turns and rng.random() < 0.15:  # the history was rewritten: a new sequence
                sequences.append(tip)
                ids = [rng.randrange(VOCAB) for _ in range(5)]
                tip = tree.add(None, Writer.ENVIRONMENT, ids, turn=turn).id
            elif turn < turns:
                ids = [rng.randrange(VOCAB) for _ in range(rng.randint(0, 3))]
                tip = tree.add(tip, Writer.ENVIRONMENT, ids, turn=turn).id
                tips.append((tip, turn))
        sequences.append(tip)
        failed = rng.random() < 0.2
        stop = (
            StopReason.ENV_ERROR
            if failed
            else rng.choice([StopReason.TERMINATED, StopReason.TRUNCATED_TURNS])
        )
        reward = rng.choice([0.0, 1.0]) + rng.random()
        tree.episodes.append(
            Episode(id=number, sequences=sequences, stop=stop, reward=reward, turns=turns)
        )
    tree.check()
    return tree


def random_forest(seed: int = 0, trees: int = 3, **options: Any) -> Forest:
    return Forest([random_tree(100 * seed + n, f"tree-{n}", **options) for n in range(trees)])


def gradients(model: nn.Module) -> torch.Tensor:
    return torch.cat(
        [
            (torch.zeros_like(p) if p.grad is None else p.grad).flatten().detach().clone()
            for p in model.parameters()
        ]
    )


def parameters(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def plain_stats(
    model: nn.Module, found: Rows, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs and entropies [B, T] by one ordinary forward pass per row, logits and all."""
    model.config._attn_implementation = "sdpa"  # eager takes the softmax in float32
    logprobs, entropies = [], []
    for row in found.rows:
        tree = found.trees[row.tree]
        ids, places = [], []
        for node in tree.path(row.last):
            if node.id in row.nodes:
                places += range(len(ids), len(ids) + len(node.ids))
            ids += node.ids
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0] / temperature
        table = logits.log_softmax(-1)
        before = torch.tensor(places) - 1
        logprobs.append(table[before, torch.tensor(ids)[places]])
        entropies.append(-(table.exp() * table).sum(-1)[before])
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(logprobs, batch_first=True), pad(entropies, batch_first=True)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())
