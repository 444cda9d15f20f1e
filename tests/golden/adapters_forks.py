"""Strategies that fork finished rows or start from stored ones."""

from __future__ import annotations

import numpy as np
import torch

from agentrl.algorithms.strategies import Drpo, Ettrl, cure, drpo, ettrl
from agentrl.algorithms.strategies.strategy import by_entropy
from agentrl.algorithms.strategies.words import word_tokens
from tests.golden.case import Adapter, Case, Result


def critical_token(case: Case) -> Result:
    """CURE's candidates and choice, from torch's draws."""
    draws = torch.Generator().manual_seed(case.config["torch_seed"])
    vocabulary, special = case.inputs["vocab"], case.inputs["special_ids"]
    responses = case.inputs["response_ids"]
    if case.config["mode"] == "random":
        widths = [len(tokens) for tokens in responses]
        orders = [torch.randperm(width, generator=draws).tolist() for width in widths]
    else:
        orders = [by_entropy(values) for values in case.inputs["entropy"]]
    found, picked = [], []
    for order, tokens in zip(orders, responses, strict=True):
        allowed = word_tokens(tokens, special, lambda token: str(vocabulary[token]))
        found.append(list(cure.candidates(order, allowed, case.config["top_k"])))
        picked.append(
            cure.critical_position(
                found[-1], lambda n: int(torch.randint(0, n, (1,), generator=draws))
            )
        )
    masks = [
        [position == at for at in range(len(tokens))]
        for position, tokens in zip(picked, responses, strict=True)
    ]
    return Result({"candidates": found, "picked_index": picked, "key_token_mask": masks})


def branch_prompt(case: Case) -> Result:
    """What CURE's branches start from, padded on the left."""
    pad, width = case.config["pad_token_id"], case.config["max_prompt_length"]
    outputs: dict[str, list[list[int]]] = {
        "branch_input_ids": [],
        "attention_mask": [],
        "position_ids": [],
    }
    given = (case.inputs[key] for key in ("prompts_left_padded", "responses", "picked_index"))
    for padded, response, position in zip(*given, strict=True):
        start = next((at for at, token in enumerate(padded) if token != pad), len(padded))
        tokens = cure.branch_prompt(padded[start:], response, position, width)
        left = width - len(tokens)
        outputs["branch_input_ids"].append([pad] * left + list(tokens))
        outputs["attention_mask"].append([0] * left + [1] * len(tokens))
        outputs["position_ids"].append([0] * left + list(range(len(tokens))))
    return Result(outputs)


def fork_positions(case: Case) -> Result:
    """ETMR's forks; the reconstruction allows the first token."""
    forks, branches = case.config["N"], case.config["B"]
    trees = case.inputs["trees"]
    strategy = Ettrl(roots=case.config["M"], fork_count=forks, branches=branches)
    return Result(
        {
            "fork_positions": [list(ettrl.fork_positions(tree, forks)) for tree in trees],
            "rollouts": strategy.rollouts,
            "token_ratio_uniform": ettrl.token_ratio(forks, branches),
        }
    )


def rollin_mask(case: Case) -> Result:
    """DR-PO's prefixes, from numpy's draws: all coins first, then the lengths."""
    draws = np.random.default_rng(case.config["numpy_default_rng_seed"])
    references, sizes = case.inputs["reference_ids"], case.inputs["reference_lengths"]
    coins = iter(draws.random(len(references)).tolist())
    strategy = Drpo(reset_probability=case.config["beta"])
    lengths = [
        strategy.rollin_length(size, lambda: next(coins), lambda n: int(draws.integers(0, n)))
        for size in sizes
    ]
    forced = zip(references, lengths, strict=True)
    return Result(
        {
            "rollin_mask": drpo.rollin_mask(lengths, len(references[0])),
            "rollin_length": lengths,
            "first_step_forced_token": [ids[0] if length else None for ids, length in forced],
        }
    )


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("cure", "critical_token"): critical_token,
    ("cure", "branch_prompt"): branch_prompt,
    ("ettrl", "fork_positions"): fork_positions,
    ("drpo", "rollin_mask"): rollin_mask,
}
