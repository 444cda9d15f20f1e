"""Dr.BoT: a bag of tricks for GRPO and GiGPO, SPEAR's baseline."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.filters.quality import KeepMostVaried, QualityMask
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import factory, method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.slots import BatchStep
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="agentic",
    source="SPEAR (arXiv 2509.22601); TencentYoutuResearch/SPEAR",
    provenance="official vectors",
)
def dr_bot(
    *,
    base: str = "grpo",
    form: str = "agent",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    scale: str = "none",
    step_weight: float = 1.0,
    gamma: float = 0.95,
    quality_mask: bool = True,
    max_turn_tokens: int | None = None,
    group_share: float = 0.75,
    entropy_coefficient: float = 0.0,
    length: float | None = None,
) -> Algorithm:
    """Dr.BoT: GRPO or GiGPO with wider clip, no deviations, constant length, and filters.

    J = 1/(D K) sum_i sum_t min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), A < 0 capped at c A

    with A = R - mu_g (`base="gigpo"` adds the step advantage), K = `length`, D the rows; no KL.
    Before advantages, overlong, incomplete, repetitive and unreadable answers are masked
    (`QualityMask`; `max_turn_tokens` is where a turn counts as overlong), and only the
    floor(group_share groups) with the largest deviation of returns stay (`KeepMostVaried`; 1 keeps
    all).  `form`: `agent` or `maths`.  `scale="group"` divides by the deviation, as the released
    GiGPO scripts do in spite of the paper.

    Source: SPEAR (arXiv 2509.22601), the Dr.BoT baseline; TencentYoutuResearch/SPEAR.  Its sum-norm
    is not divided by the number of rows, ours is, so that micro-batches add up.
    """
    one_of("base", base, ("grpo", "gigpo"))
    one_of("scale", scale, ("group", "none"))
    advantage: BatchStep = GroupRelative(scale=scale)
    if base == "gigpo":
        mode = "mean_norm" if scale == "none" else "mean_std_norm"
        advantage = factory("gigpo")(step_weight=step_weight, gamma=gamma, mode=mode).advantage
    mask = QualityMask(form=form, max_tokens=max_turn_tokens)
    return Algorithm(
        name="dr_bot",
        reward_shaping=(mask,) if quality_mask else (),
        group_filter=KeepMostVaried(share=group_share) if group_share < 1 else None,
        advantage=advantage,
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=regularisers(0.0, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_SUM_NORM, length),
    )
