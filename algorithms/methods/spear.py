"""SPEAR: self-imitation with progressive exploration."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.memory.replay import Replay
from agentrl.algorithms.registry import factory, method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.rewards.tool_calls import ToolCallReward
from agentrl.algorithms.surrogates.standard import PPOClip
from agentrl.algorithms.weights.tokens import Drop, covariance_band


@method(
    family="agentic",
    source="SPEAR (arXiv 2509.22601); TencentYoutuResearch/SPEAR",
    provenance="official vectors",
)
def spear(
    *,
    base: str = "grpo",
    bag_of_tricks: bool = True,
    form: str = "agent",
    toolcall_schedule: str = "cosine",
    toolcall_steps: int = 200,
    buffer_rows: int = 2048,
    baseline_groups: int = 10240,
    tolerate_steps: int = 5,
    replay_coefficient: float = 1.0,
    replay_warmup_steps: int = 200,
    replay_updates: int = 1,
    replay_tool_calls_only: bool = False,
    weight_decay: float | None = None,
    cov_fraction: float = 2e-4,
    cov_low: float = 1.0,
    cov_high: float = 5.0,
    replay_cov_fraction: float = 0.02,
    replay_cov_low: float = 2.0,
    replay_cov_high: float = 60.0,
    max_turn_tokens: int | None = None,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """SPEAR: the best earlier rows are imitated again, and tool use is paid for at first.

    R = R_env + mu min(1, 0.1 n),  mu falls from 1 to 0 over `toolcall_steps` updates;
    J = J_base(A) + gamma J_replay(A~),  A~ = R - P50(recent group means), only rows with A > 0
    when sampled and A~ > 0 now; gamma rises from 0 to `replay_coefficient` over
    `replay_warmup_steps` updates.  n: turns (`form="agent"`), or messages with a tool call
    (`maths`; `maths-once` is the Qwen3 variant).

    `base` is `grpo` or `gigpo`, with the tricks of `dr_bot`; `bag_of_tricks=False` takes the bare
    method without KL.  In both losses a few tokens of high covariance learn nothing (Clip-Cov, in
    place of the dual clip; a fraction of 0 leaves it out).  The buffer is used, and emptied, once
    1.5 `buffer_rows` stored rows beat the baseline: lower `buffer_rows` for small batches, and
    watch the metric `replay/useful`.

    Source: Learn the Ropes, Then Trust the Wins (arXiv 2509.22601), eq. 1-6;
    TencentYoutuResearch/SPEAR, ALFWorld and WebShop scripts (maths: replay_cov_low 1,
    replay_cov_high 40, replay_warmup_steps 300).  Followed from the code: the
    buffer that fires when full; from the paper: A~ > 0 (the agent code has >= 0).  The maths code
    stores only episodes with a tool call: `replay_tool_calls_only`, for environments that report
    `tool_calls`.  A format reward (eq. 6) is not in the code.  A replay is `replay_updates`
    optimiser steps; in the code as many as its mini-batch size gives.
    """
    one_of("form", form, ("agent", "maths", "maths-once"))
    if bag_of_tricks:
        quality = "agent" if form == "agent" else "maths"
        start = factory("dr_bot")(base=base, form=quality, max_turn_tokens=max_turn_tokens)
    else:
        one_of("base", base, ("grpo", "gigpo"))
        start = factory(base)(kl_coefficient=0.0)
    bonus = ToolCallReward(schedule=toolcall_schedule, steps=toolcall_steps, form=form)
    replay = Replay(
        buffer_rows=buffer_rows,
        baseline_groups=baseline_groups,
        tolerate_steps=tolerate_steps,
        coefficient=replay_coefficient,
        warmup_steps=replay_warmup_steps,
        weight_decay=weight_decay,
        group_std="population" if form == "agent" else "sample",
        needs_tool_call=replay_tool_calls_only,
        updates=replay_updates,
        token_weights=_clip_cov(replay_cov_fraction, replay_cov_low, replay_cov_high),
    )
    return replace(
        start,
        name="spear",
        reward_shaping=(bonus, *start.reward_shaping),
        surrogate=PPOClip() if cov_fraction else start.surrogate,
        token_weights=_clip_cov(cov_fraction, cov_low, cov_high),
        regularisers=regularisers(0.0, "k3", entropy_coefficient),
        replay=replay,
    )


def _clip_cov(fraction: float, low: float, high: float) -> tuple[Drop, ...]:
    return (covariance_band(fraction, low, high),) if fraction else ()
