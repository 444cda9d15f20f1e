"""Log entropy of HAPO, rollout strategies, prompt augmentation and the case bank."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agentrl.algorithms.cases import Case as MemoryCase
from agentrl.algorithms.cases import CaseBank, retriever
from agentrl.algorithms.log_entropy import (
    LogEntropyStatistics,
    log_entropy_statistics,
    scaled_log_entropy,
)
from agentrl.algorithms.prompt_augmentation import PromptAugmentation
from agentrl.algorithms.strategies import (
    Branching,
    Drpo,
    Ettrl,
    HapoSampler,
    branching_rules,
    cure,
    drpo,
    ettrl,
)
from agentrl.algorithms.strategies.arpo_reward import arpo_reward
from agentrl.algorithms.strategies.branch_state import BranchState, Decision, Segment, Step
from agentrl.algorithms.strategies.branching_rules import AepoRule, ArpoRule
from agentrl.algorithms.strategies.strategy import by_entropy
from tests.golden.case import Adapter, Case, Result


def entropy_h(case: Case) -> Result:
    """HAPO's statistic as released."""
    entropy, valid = case.tensor("entropy"), case.tensor("response_mask") > 0
    found = log_entropy_statistics(entropy, valid, case.config["entropy_pivot"])
    return Result(
        {
            "h_hat": scaled_log_entropy(entropy, found, "official"),
            "median": found.median,
            "std": found.std,
            "scale_pos": found.scale_above,
            "scale_neg": -found.scale_below,
        },
        not_ours=dict.fromkeys(("clip_low", "clip_high", "advantages"), "in hapo.policy_loss"),
    )


RESULT_TOKENS = 2
"""Tokens of a tool result in the scripted runs; the files do not say it."""


def _branching(case: Case) -> Branching:
    config = case.config
    shared = {key: config[key] for key in ("branch_probability", "entropy_weight")}
    rule: ArpoRule | AepoRule = ArpoRule(**shared)
    if case.method == "aepo":
        rule = AepoRule(**shared, penalty=config["penalty_per_consecutive_branch"])
    return Branching(
        rule=rule,
        rollouts=config["n"],
        initial_rollouts=config["initial_rollouts"],
        beam_size=config["beam_size"],
    )


def _recorded(state: BranchState, counters: bool) -> dict[str, Any]:
    prompts = range(len(state.consecutive))
    rows = {str(prompt): list(state.rows_of(prompt)) for prompt in prompts}
    return {
        "active_rows": list(state.active),
        "rollouts_per_sample": [len(rows[str(prompt)]) for prompt in prompts],
        "rows_of_sample": rows,
        "consecutive_branches": {str(p): c for p, c in enumerate(state.consecutive) if counters},
    }


class _Lengths:
    """Tokens of every row: sampled ones by segment, and those of tool results."""

    def __init__(self, limit: int, rows: int) -> None:
        self.limit = limit
        self.sampled: list[list[int]] = [[] for _ in range(rows)]
        self.results: list[int] = [0] * rows

    def ends(self, given: dict[str, Any]) -> bool:
        """Enter a segment; at the limit of calls the scheduler writes the end token."""
        calls = given["ends_with"] == "tool_call"
        continues = calls and given["n_tool_results_in_prompt"] < self.limit
        self.sampled[given["row"]].append(given["n_tokens"] + (calls and not continues))
        self.results[given["row"]] += RESULT_TOKENS * continues
        return not continues

    def start(self, step: Step) -> None:
        """Enter new rows."""
        for row in step.state.rows[len(self.sampled) :]:
            source = row.source
            self.sampled.append([] if source is None else self.sampled[source][: row.shared])
            self.results.append(0 if source is None else row.shared * RESULT_TOKENS)


def _runs(
    case: Case, strategy: Branching, lengths: _Lengths, draws: Iterator[float]
) -> Iterator[tuple[BranchState, Sequence[Decision]]]:
    """Yield the state before each round and its decisions; last the final state."""
    first = case.inputs["segments_per_iteration"][0]
    state = strategy.start(1 + max(given["sample"] for given in first))
    for given in case.inputs["segments_per_iteration"]:
        segments = [Segment(row["row"], row["entropy"], lengths.ends(row)) for row in given]
        step = strategy.step(state, segments, lambda: next(draws))
        yield state, step.decisions
        lengths.start(step)
        state = step.state
    yield state, ()


def branching(case: Case) -> Result:
    """The scheduler, driven by the scripted segments and the recorded draws."""
    strategy = _branching(case)
    lengths = _Lengths(
        case.config["tool_call_limit"], len(case.inputs["segments_per_iteration"][0])
    )
    draws = iter(decision["u"] for decision in case.inputs["decisions"])
    runs = list(_runs(case, strategy, lengths, draws))
    decisions = [decision for _, made in runs for decision in made]
    final = runs.pop()[0]
    assert not final.active and next(draws, None) is None
    order = [row for prompt in range(len(final.consecutive)) for row in final.rows_of(prompt)]
    return Result(
        {
            "decision_prob": [decision.score for decision in decisions],
            "decision_branch": [decision.branches for decision in decisions],
            "state_before_each_iteration": [
                _recorded(state, case.method == "aepo") for state, _ in runs
            ],
            "final_loss_mask_sum": [sum(lengths.sampled[row]) for row in order],
            "final_response_len": [
                sum(lengths.sampled[row]) + lengths.results[row] for row in order
            ],
        }
    )


def initial_rollouts(case: Case) -> Result:
    """AEPO's split of the budget."""
    config = case.config
    given = zip(case.inputs["H_root"], case.inputs["H_steps"], strict=True)
    found = [
        branching_rules.initial_rollouts(config["n"], root, steps, config["beta"])
        for root, steps in given
    ]
    return Result({"initial_rollouts": found})


def step_entropy(case: Case) -> Result:
    """Entropy of segments from the candidates' log-probs."""
    found = [
        branching_rules.segment_entropy(
            [branching_rules.top_entropy(token) for token in segment],
            case.config["vocab_size"],
            case.config["window"],
        )
        for segment in case.inputs["topk_logprobs_per_token"]
    ]
    return Result({"entropy": found})


def reward(case: Case) -> Result:
    """ARPO's reward."""
    given = zip(case.inputs["solution"], case.inputs["ground_truth"], strict=True)
    found = [arpo_reward(text, accepted).score for text, accepted in given]
    return Result({"score": found}, not_ours={"reason": "our messages are our own"})


def adaptive_temperature(case: Case) -> Result:
    """HAPO's temperatures; with the other sign of the scale they are the intended ones."""
    config, given = case.config, case.inputs
    statistics = LogEntropyStatistics(
        *(torch.tensor(given[name]) for name in ("median", "std", "scale_pos")),
        scale_below=-torch.tensor(given["scale_neg"]),
    )
    outputs = {
        name: HapoSampler(tau=config["temperature_tau"], sign=sign).temperature(
            torch.tensor(given["logits"]), statistics, config["base_temperature"]
        )
        for name, sign in (
            ("temperature", "official"),
            ("temperature_with_negated_scale_neg", "intended"),
        )
    }
    return Result(outputs)


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
        allowed = cure.word_tokens(tokens, special, lambda token: str(vocabulary[token]))
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
    ("arpo", "reward"): reward,
    ("hapo", "adaptive_temperature"): adaptive_temperature,
    ("cure", "critical_token"): critical_token,
    ("cure", "branch_prompt"): branch_prompt,
    ("ettrl", "fork_positions"): fork_positions,
    ("drpo", "rollin_mask"): rollin_mask,
    ("arpo", "branching"): branching,
    ("aepo", "branching"): branching,
    ("aepo", "initial_rollouts"): initial_rollouts,
    ("aepo", "step_entropy"): step_entropy,
    ("hapo", "entropy_h"): entropy_h,
}
