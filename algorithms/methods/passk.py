"""Pass@k training: the reward of a set of answers instead of a single one."""

from __future__ import annotations

from agentrl.algorithms.advantages.pass_at_k import BestMinusSecond, PassAtK
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.slots import BatchStep


@method(
    family="advantage",
    source="Pass@k Training (arXiv 2508.10751)",
    provenance="official vectors",
)
def passk(
    *,
    k: int = 4,
    component: str | None = None,
    variant: str = "analytical",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
    advantage_epsilon: float = 1e-6,
    allow_self_labels: bool = False,
) -> Algorithm:
    """Pass@k: GRPO on sets of k episodes whose reward is that of their best one.

    J = 1/N sum_i sum_t min(r A_i, clip(r) A_i), N all tokens.  With n episodes in the group, c of
    them correct, rho = 1 - C(n-c, k) / C(n, k) and sigma = sqrt(rho (1 - rho)),

        A_i = (1 - rho) / sigma                                for a correct episode,
        A_i = (1 - rho - C(n-c-1, k-1) / C(n-1, k-1)) / sigma  for a wrong one.

    `variant="verl"` is another method of that name: the best episode gets its lead over the second
    best, all others 0, and rewards need not be 0 or 1.

    Source: Pass@k Training (arXiv 2508.10751), analytical form (the expectation of its bootstrap
    form), RUCAIBox/Passk_Training; `verl`: verl-project/verl, `grpo_passk`, after Optimizing
    Language Models for Inference Time Objectives (arXiv 2503.19595).  k = 4 is our choice, the clip
    range is DAPO's.
    """
    one_of("variant", variant, ("analytical", "verl"))
    advantage: BatchStep = PassAtK(
        k=k,
        component=component,
        epsilon=advantage_epsilon,
        allow_self_labels=allow_self_labels,
    )
    if variant == "verl":
        advantage = BestMinusSecond(epsilon=advantage_epsilon)
    return Algorithm(
        name="passk",
        advantage=advantage,
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
