"""BNPO: advantages normalised by a Beta distribution of success rates."""

from __future__ import annotations

from agentrl.algorithms.advantages.beta import BetaNormalised
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="advantage",
    source="BNPO (arXiv 2506.02864)",
    provenance="official vectors",
)
def bnpo(
    *,
    low: float = 0.0,
    high: float = 1.0,
    components: tuple[str, ...] = (),
    lone: str = "zero",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float | None = 10.0,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """BNPO: rewards in [low, high], normalised by the Beta density at the group's success rate.

    J = 1/D sum_i sum_t min(r A_i, clip(r) A_i), D rows;  A_i = (s_i - p_g) / f(p_g; alpha, beta)
    with s_i the reward mapped to [0, 1] and p_g its group mean.  alpha and beta follow from mean
    and variance of p_g over the groups of the update, so they move with the policy.

    `components` normalises several numbers of the episode one by one and takes the mean.

    Source: BNPO (arXiv 2506.02864); clip range, dual clip 10, aggregation and no KL from
    changyi7231/BNPO.  Not the `loss_type="bnpo"` of huggingface/trl, which only names a normaliser.
    """
    return Algorithm(
        name="bnpo",
        advantage=BetaNormalised(low=low, high=high, components=tuple(components), lone=lone),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_SUM),
    )
