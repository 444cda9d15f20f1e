"""Prompt augmentation and the case bank."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms.memory.cases import Case as MemoryCase
from agentrl.algorithms.memory.cases import CaseBank, retriever
from agentrl.algorithms.prompts.augmentation import PromptAugmentation
from tests.golden.case import Adapter, Case, Result


def format_reward(case: Case) -> Result:
    """Format scores of all templates the file names."""
    templates, texts = PromptAugmentation(), case.inputs["texts"]
    return Result(
        {
            "reward": {
                name: [templates.get(name).format_score(text) for text in texts]
                for name in case.outputs["reward"]
            }
        }
    )


def template_choice(case: Case) -> Result:
    """Templates by the official draws; ours are a hash of the prompt."""
    templates = PromptAugmentation()
    ordered = [templates.get(name).name for name in case.inputs["template_names_in_order"]]
    draws = random.Random(case.config["python_random_seed"])
    return Result({"chosen": [draws.choice(ordered) for _ in range(case.inputs["n_items"])]})


@dataclass(frozen=True)
class _Table:
    """An embedder whose vectors are given, by the number that is a text."""

    vectors: Tensor

    @property
    def dimensions(self) -> int:
        return self.vectors.shape[-1]

    def embed(self, texts: Sequence[str]) -> Tensor:
        return self.vectors[[int(text) for text in texts]]

    def weights(self, keys: Tensor) -> Tensor:
        return torch.ones(self.dimensions, dtype=keys.dtype)


def nonparam_retrieve(case: Case) -> Result:
    """Memento's search by similarity."""
    vectors = torch.cat([case.tensor("key_vectors"), case.tensor("query_vector").unsqueeze(0)])
    bank = CaseBank(_Table(vectors))
    rewards = case.inputs["rewards"]
    for number, value in enumerate(rewards):
        bank.add(MemoryCase(str(number), "", value))
    found = bank.retrieve(str(len(rewards)), case.config["top_k"])
    return Result(
        {
            "ranked_index": [entry.index for entry in found],
            "score": [entry.score for entry in found],
            "positive": [entry.index for entry in found if entry.positive],
            "negative": [entry.index for entry in found if not entry.positive],
        }
    )


def stratified_split(case: Case) -> Result:
    """Memento's split of pairs."""
    config = case.config
    train, valid = retriever.stratified_split(
        case.inputs["labels"], config["val_ratio"], config["seed"]
    )
    return Result({"train": train, "valid": valid})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("memento", "nonparam_retrieve"): nonparam_retrieve,
    ("memento", "stratified_split"): stratified_split,
    ("prompt_aug", "format_reward"): format_reward,
    ("prompt_aug", "template_choice"): template_choice,
}
