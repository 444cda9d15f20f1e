"""ProGRPO: sure answers earn less, unsure ones more."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.transforms.likelihood_weights import ConfidenceShift


@method(
    family="advantage",
    source="ProGRPO (arXiv 2602.05281)",
    provenance="reconstructed",
)
def progrpo(
    *,
    alpha: float = 0.3,
    share: float = 0.2,
    skip: str = "all_wrong",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """ProGRPO: GRPO with advantages shifted by the confidence in prompt and answer.

    J = 1/N sum_i sum_t min(r A~_i, clip(r) A~_i), N all tokens;  A~_i = A_i + alpha (c_q - c_i),
    c the geometric mean probability of the `share` least likely tokens of the prompt, and of the
    episode.  Nothing is added where every return of the group is 0 (`skip`), so a group of equal
    returns other than 0 does learn.

    Source: Back to Basics: Revisiting Exploration (arXiv 2602.05281), after two independent
    summaries; no code was found.  The clip range 0.8 to 1.28 is theirs; alpha is not known to us,
    and which deviation is meant is not said: 0.3 and that of the population are our choice.
    """
    return Algorithm(
        name="progrpo",
        advantage=GroupRelative(scale="group", population=True),
        transforms=(ConfidenceShift(alpha=alpha, share=share, skip=skip),),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
