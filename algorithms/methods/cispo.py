"""CISPO: clip the importance weight, never the gradient."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.surrogates.standard import WeightPG


@method(
    family="policy-loss",
    source="MiniMax-M1 (arXiv 2506.13585)",
    provenance="official vectors",
)
def cispo(
    *,
    clip_low: float | None = None,
    clip_high: float = 4.0,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """CISPO: REINFORCE weighted by the clipped, detached ratio, so every token keeps learning.

    J = 1/N sum_i sum_t sg(min(r, 1 + clip_high)) A_i l.

    Source: MiniMax-M1 (arXiv 2506.13585), eq. 4; it has no effective lower bound and does not
    print the upper one: the weight is capped at 5 as ScaleRL (arXiv 2510.13786) recommends.
    huggingface/trl calls the cap itself `epsilon_high`; here it is 1 + clip_high.
    """
    return Algorithm(
        name="cispo",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=WeightPG(),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
