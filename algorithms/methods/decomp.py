"""Two shapings of the entropy-performance exchange: by perplexity and by position."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.filters.standard import DropUniformGroups
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.slots import BatchStep
from agentrl.algorithms.transforms.likelihood_weights import PerplexityWeight
from agentrl.algorithms.transforms.position_bonus import PositionBonus

SOURCE = "Decomposing the Entropy-Performance Exchange (arXiv 2508.02260)"


@method(family="advantage", source=SOURCE, provenance="official vectors")
def decomp_ppl(
    *,
    alpha: float = 0.01,
    weight_low: float = 0.8,
    weight_high: float = 1.2,
    favour: str = "low",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dynamic_sampling: bool = True,
) -> Algorithm:
    """Perplexity shaping: GRPO that learns more from episodes the policy found likely.

    J = 1/N sum_i sum_t min(r w_i A_i, clip(r) w_i A_i), N all tokens;
    w_i = clip(1 - alpha z_i, weight_low, weight_high), z_i the z-score of the episode's mean -l_old
    in its group, without outliers.  `favour="high"` turns the sign of z.

    Source: arXiv 2508.02260, RUCAIBox/Slow_Thinking_with_LLMs:entropy2performance.  Its loss
    computes w_i for low perplexity and then leaves it out; it is applied here.  The overlong
    penalty of the script is not part of the method: add `OverlongPenalty` to `reward_shaping`.
    """
    weight = PerplexityWeight(alpha=alpha, low=weight_low, high=weight_high, favour=favour)
    return _shaped("decomp_ppl", weight, clip_low, clip_high, dynamic_sampling)


@method(family="advantage", source=SOURCE, provenance="official vectors")
def decomp_position(
    *,
    alpha: float = 0.1,
    slope: float = 15.0,
    cap: float = 0.5,
    along: str = "episode",
    begin: float = 2 / 3,
    first_step: int | None = None,
    last_step: int | None = None,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dynamic_sampling: bool = True,
) -> Algorithm:
    """Position shaping: GRPO that learns more from late tokens while entropy is on its plateau.

    J = 1/N sum_i sum_t min(r A_t, clip(r) A_t), N all tokens;
    A_t = A_i + sign(A_i) min(alpha sigmoid(slope (u_t - 1/2)), cap |A_i|), u_t the token's place in
    its episode, 0 to 1 (`along="turn"`: in its turn).

    Source: arXiv 2508.02260, RUCAIBox/Slow_Thinking_with_LLMs:entropy2performance, which gives the
    bonus at its steps 201 to 299 (`first_step=201, last_step=299`).  By default it is given in the
    last third of the run (`begin`), since the plateau lies elsewhere in other runs.
    """
    bonus = PositionBonus(
        alpha=alpha,
        slope=slope,
        cap=cap,
        along=along,
        begin=begin,
        first_step=first_step,
        last_step=last_step,
    )
    return _shaped("decomp_position", bonus, clip_low, clip_high, dynamic_sampling)


def _shaped(
    name: str, shaping: BatchStep, clip_low: float, clip_high: float, dynamic_sampling: bool
) -> Algorithm:
    return Algorithm(
        name=name,
        group_filter=DropUniformGroups() if dynamic_sampling else None,
        advantage=GroupRelative(scale="group"),
        transforms=(shaping,),
        bounds=ConstantBounds(clip_low, clip_high),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
