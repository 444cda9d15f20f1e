"""Branching rollouts with their reward, and what HAPO makes of entropy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from agentrl.algorithms.ratios.log_entropy import (
    LogEntropyStatistics,
    log_entropy_statistics,
    scaled_log_entropy,
)
from agentrl.algorithms.strategies import (
    Branching,
    HapoSampler,
    branching_rules,
)
from agentrl.algorithms.strategies.arpo_reward import arpo_reward
from agentrl.algorithms.strategies.branch_state import BranchState, Decision, Segment, Step
from agentrl.algorithms.strategies.branching_rules import AepoRule, ArpoRule
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
        name: HapoSampler(
            tau=config["temperature_tau"], sign=sign, epsilon=config["eps"]
        ).temperature(torch.tensor(given["logits"]), statistics, config["base_temperature"])
        for name, sign in (
            ("temperature", "official"),
            ("temperature_with_negated_scale_neg", "intended"),
        )
    }
    return Result(outputs)


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("arpo", "reward"): reward,
    ("hapo", "adaptive_temperature"): adaptive_temperature,
    ("arpo", "branching"): branching,
    ("aepo", "branching"): branching,
    ("aepo", "initial_rollouts"): initial_rollouts,
    ("aepo", "step_entropy"): step_entropy,
    ("hapo", "entropy_h"): entropy_h,
}
