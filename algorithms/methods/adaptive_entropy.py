"""GRPO with an entropy bonus that follows the measured entropy."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.filters.standard import DropUniformGroups
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.adaptive_entropy import AdaptiveEntropy
from agentrl.algorithms.regularisers.standard import EntropyBonus


@method(
    family="policy-loss",
    source="Skywork-OR1 (arXiv 2505.22312)",
    provenance="identity tests",
)
def adaptive_entropy(
    *,
    entropy_target: float = 0.2,
    entropy_coefficient: float = 0.0,
    entropy_delta: float = 0.005,
    entropy_least: float = 0.0,
    entropy_most: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dynamic_sampling: bool = True,
) -> Algorithm:
    """Adaptive entropy: GRPO with token mean and a bonus that is on while entropy is low.

    The coefficient begins at `entropy_coefficient`, rises by `entropy_delta` after an update with
    a mean entropy of at most `entropy_target` and falls by it after any other; the bonus is
    applied only after an update of the first kind.  No KL; groups without contrast are dropped.

    Source: Skywork Open Reasoner 1 (arXiv 2505.22312); defaults of huggingface/trl's
    `use_adaptive_entropy`.  The controller `AdaptiveEntropy` goes with every method that has an
    entropy bonus.
    """
    return Algorithm(
        name="adaptive_entropy",
        group_filter=DropUniformGroups() if dynamic_sampling else None,
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=(EntropyBonus(weight=entropy_coefficient),),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
        controllers=(
            AdaptiveEntropy(
                target=entropy_target,
                delta=entropy_delta,
                least=entropy_least,
                most=entropy_most,
            ),
        ),
    )
