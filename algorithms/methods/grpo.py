"""Group-relative policy optimisation: GRPO and Dr.GRPO."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="policy-loss",
    source="DeepSeekMath (arXiv 2402.03300)",
    provenance="official vectors",
)
def grpo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    kl_coefficient: float = 0.04,
    kl_kind: str = "k3",
    entropy_coefficient: float = 0.0,
    advantage_epsilon: float = 1e-6,
) -> Algorithm:
    """GRPO: advantages relative to the group of one task, PPO clip, KL to the reference.

    J = 1/D sum_i 1/n_i sum_t [ min(r A_i, clip(r, 1 - clip_low, 1 + clip_high) A_i)
                                - kl_coefficient k3(l, l_ref) ],   A_i = (R_i - mu_g) / sigma_g

    with r the token ratio to the old policy, n_i the tokens of row i and D the number of rows.

    Source: DeepSeekMath (arXiv 2402.03300), eq. 3; beta 0.04 is the paper's, 0.2 is the common
    clip range.  Released trainers differ: verl has the KL off by default and always a dual clip
    at 3, huggingface/trl has beta 0 and `aggregation=token-mean`.
    """
    return Algorithm(
        name="grpo",
        advantage=GroupRelative(scale="group", epsilon=advantage_epsilon),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=regularisers(kl_coefficient, kl_kind, entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )


@method(
    family="policy-loss",
    source="Understanding R1-Zero-Like Training (arXiv 2503.20783)",
    provenance="official vectors",
)
def dr_grpo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
    length: float | None = None,
) -> Algorithm:
    """Dr.GRPO: GRPO without its two biases, division by sigma_g and by each row's own length.

    A_i = R_i - mu_g;  J = 1/(D K) sum_i sum_t min(r A_i, clip(r) A_i), K = `length` a constant.

    Source: Liu et al., Understanding R1-Zero-Like Training (arXiv 2503.20783), section 3; no KL.
    K is the longest allowed response (`length`, or what the learner puts in `Normaliser.length`);
    verl's default divides by the padded width of the batch instead.
    """
    return Algorithm(
        name="dr_grpo",
        advantage=GroupRelative(scale="none"),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_SUM_NORM, length),
    )
