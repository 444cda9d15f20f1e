"""DAPO: decoupled clip and dynamic sampling."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.filters.standard import DropTruncated, DropUniformGroups
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.rewards.shaping import OverlongPenalty
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="policy-loss",
    source="DAPO (arXiv 2503.14476)",
    provenance="official vectors",
)
def dapo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    overlong: str = "penalty",
    overlong_max_tokens: int = 20480,
    overlong_buffer_tokens: int = 4096,
    overlong_factor: float = 1.0,
    dynamic_sampling: bool = True,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """DAPO: clip-higher, token mean, groups without contrast dropped, long episodes punished.

    J = 1/N sum_i sum_t min(r A_i, clip(r, 1 - clip_low, 1 + clip_high) A_i), N all tokens, A_i as
    in GRPO from R_i + overlong penalty.  `overlong`: `penalty` (eq. 13), `filter` (learn nothing
    from truncated episodes) or `none`.  Tasks are drawn in up to `rollout.max_rounds` rounds of a
    step, until `rollout.tasks_per_step` groups with contrast are found.

    Source: DAPO (arXiv 2503.14476), eq. 8-13 and section 4.1; the paper has no dual clip, its
    released recipe (verl-project/verl-recipe:dapo) has one at 10, followed here; None is the paper.
    """
    one_of("overlong", overlong, ("penalty", "filter", "none"))
    penalty = OverlongPenalty(
        max_tokens=overlong_max_tokens,
        buffer_tokens=overlong_buffer_tokens,
        factor=overlong_factor,
    )
    return Algorithm(
        name="dapo",
        reward_shaping=(penalty,) if overlong == "penalty" else (),
        group_filter=DropUniformGroups(refill=True) if dynamic_sampling else None,
        advantage=GroupRelative(scale="group"),
        sample_filters=(DropTruncated(),) if overlong == "filter" else (),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
