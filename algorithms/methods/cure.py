"""CURE: answers continued from the tokens where the policy was uncertain."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.advantages.presets import credited
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.methods.dapo import dapo
from agentrl.algorithms.registry import method
from agentrl.algorithms.strategies.cure import Cure


@method(
    family="agentic",
    source="CURE (arXiv 2508.11016); bytedance/CURE",
    provenance="official vectors",
)
def cure(
    *,
    roots: int = 4,
    continuations: int = 3,
    top_k: int = 20,
    order: str = "entropy",
    credit: str = "flat",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    overlong: str = "penalty",
    overlong_max_tokens: int = 2596,
    overlong_buffer_tokens: int = 512,
    overlong_factor: float = 1.0,
    dynamic_sampling: bool = True,
) -> Algorithm:
    """CURE, stage 1: DAPO on answers that are continued from critical tokens of high entropy.

    Each of `roots` answers is continued `continuations` times from one token, drawn from the
    `top_k` of highest entropy; all of them are one group.  Only the root is trained on what they
    share.  Stage 2 is `dapo` on from the last weights.  `credit` is explained under `arpo`; with
    `subtree` the shared beginning gets the mean of its answers instead of the root's own return.

    Source: arXiv 2508.11016; bytedance/CURE, settings of its script for stage 1; the tests against
    released code cover the choice of tokens and prompts of branches, and DAPO's loss.
    """
    base = dapo(
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        overlong=overlong,
        overlong_max_tokens=overlong_max_tokens,
        overlong_buffer_tokens=overlong_buffer_tokens,
        overlong_factor=overlong_factor,
        dynamic_sampling=dynamic_sampling,
    )
    return replace(
        base,
        name="cure",
        rollout=Cure(roots=roots, continuations=continuations, top_k=top_k, order=order),
        advantage=credited(credit),
    )
