"""The model and the trees of `tree_training.py`."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentrl.storage import read_forest
from agentrl.tree import Episode, Forest, StopReason, Tree, Writer
from agentrl.types import Task

VOCABULARY = 2048


def build_model(width: int, layers: int = 4) -> nn.Module:
    """A random Qwen3 with heads of 64, half as many for keys and values, and tied embeddings."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 128,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    model: nn.Module = Qwen3ForCausalLM(config)
    return model


@dataclass(frozen=True)
class Shape:
    """How long the parts of a trajectory are, in tokens.

    Attributes:
        prompt: the first prompt.
        turns: actions of an episode.
        sampled: least and most tokens of an action.
        seen: tokens of an observation.
    """

    prompt: int
    turns: int
    sampled: tuple[int, int]
    seen: int


class _Planter:
    """Makes one tree of random tokens."""

    def __init__(self, name: str, shape: Shape, seed: int) -> None:
        self.random, self.shape = random.Random(seed), shape
        self.tree = Tree(id=name, task=Task(id=name, env_id="agentrl/Bench-v0"))
        self.tree.add(None, Writer.ENVIRONMENT, self._ids(shape.prompt))

    def grow(self, tip: int, first: int) -> list[int]:
        """Play from before turn `first` to the end; return the node before each turn, and the last.

        Log-probs and entropies are zero: their values do not change the work.
        """
        tips = [tip]
        for turn in range(first, self.shape.turns):
            ids = self._ids(self.random.randint(*self.shape.sampled))
            zeros = [0.0] * len(ids)
            node = self.tree.add(
                tips[-1], Writer.MODEL, ids, turn=turn, logprobs=zeros, entropies=zeros
            )
            if turn < self.shape.turns - 1:
                seen = self._ids(self.shape.seen)
                node = self.tree.add(node.id, Writer.ENVIRONMENT, seen, turn=turn + 1)
            tips.append(node.id)
        number = len(self.tree.episodes)
        self.tree.add_episode(
            sequences=[tips[-1]], stop=StopReason.TERMINATED, reward=float(number % 3)
        )
        return tips

    def _ids(self, count: int) -> list[int]:
        return [self.random.randrange(VOCABULARY) for _ in range(count)]


def group(members: int = 8, seed: int = 0) -> Forest:
    """Members that share a prompt of 720 tokens and nothing else; 500 tokens each of their own."""
    planter = _Planter(f"group-{seed}", Shape(720, 8, (24, 24), 44), seed)
    for _ in range(members):
        planter.grow(0, 0)
    return Forest([planter.tree])


def branches(
    leaves: int = 16, turns: int = 20, forks: tuple[int, int] = (10, 16), seed: int = 0
) -> Forest:
    """A branch tree: a trunk, and leaves that leave it before a turn drawn from `forks`.

    A turn has 15 to 25 sampled tokens and an observation of 60; the prompt has 160.
    """
    planter = _Planter(f"branches-{seed}", Shape(160, turns, (15, 25), 60), seed)
    trunk = planter.grow(0, 0)
    for _ in range(leaves - 1):
        fork = planter.random.randint(*forks)
        planter.grow(trunk[fork], fork)
    return Forest([planter.tree])


def recorded(path: Path, most: int) -> Forest:
    """The first trees of a saved rollout that share most, with ids folded into the vocabulary."""
    trees = [tree for tree in read_forest(path).trees if tree.counted()]
    trees.sort(key=lambda tree: tree.token_counts()[0] / max(tree.token_counts()[1], 1))
    for tree in trees:
        for node in tree.nodes:
            node.ids = [token % VOCABULARY for token in node.ids]
    return Forest(trees[:most])


def separate(forest: Forest) -> Forest:
    """The same episodes in the same groups, with nodes of their own: nothing is shared."""
    found = []
    for tree in forest.trees:
        apart = Tree(tree.id, tree.task)
        for episode in tree.counted():
            apart.episodes.append(_copy(tree, episode, apart))
        found.append(apart)
    return Forest(found)


def _copy(tree: Tree, episode: Episode, apart: Tree) -> Episode:
    copies: dict[int, int] = {}
    for last in episode.sequences:
        for node in tree.path(last):
            if node.id not in copies:
                parent = None if node.parent is None else copies[node.parent]
                copies[node.id] = len(apart.nodes)
                apart.nodes.append(replace(node, id=len(apart.nodes), parent=parent))
    return replace(episode, sequences=[copies[last] for last in episode.sequences])
