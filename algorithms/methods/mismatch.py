"""Methods about stale rollouts: decoupled PPO, M2PO, OPSM."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.behaviour.off_policy_rows import DropOffPolicyRows
from agentrl.algorithms.behaviour.weights import BehaviourWeight
from agentrl.algorithms.filters.tokens import LimitSecondMoment
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="policy-loss",
    source="Batch size-invariance for policy optimization (arXiv 2110.00641)",
    provenance="official vectors",
)
def decoupled_ppo(
    *,
    weight_cap: float = 5.0,
    weight_action: str = "mask",
    weight_level: str = "token",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
) -> Algorithm:
    """Decoupled PPO: clip around the update's first policy, corrected for the one that sampled.

    J = 1/N sum w min(r A, clip(r) A), r = pi / pi_old, w = pi_old / pi_rollout, 0 above
    weight_cap (weight_action="truncate": held at it).

    Source: Hilton et al. (arXiv 2110.00641); AReaL (arXiv 2505.24298), whose cap 5 is followed; its
    sequence level is the row's geometric mean (weight_level="mean") and N stays what it was.  Its
    code applies no w at all where no rejection is configured.
    """
    weight = BehaviourWeight(level=weight_level, action=weight_action, cap=weight_cap)
    return Algorithm(
        name="decoupled_ppo",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        behaviour=(weight,),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


@method(family="policy-loss", source="M2PO (arXiv 2510.01161)", provenance="official vectors")
def m2po(*, threshold: float = 0.04, clip_low: float = 0.2, clip_high: float = 0.2) -> Algorithm:
    """M2PO: PPO clip without the few tokens whose rollout policy is furthest away.

    The tokens with the largest (l_roll - l_old)^2 leave the batch, as few as bring the mean of the
    rest below threshold; then PPO clip with token mean.

    Source: Prosperity before Collapse (arXiv 2510.01161), whose threshold is 0.04;
    inclusionAI/AReaL:areal/trainer/ppo/actor.py, followed: the log-ratio is that of the old policy
    and the clip stays beside the mask.  There per micro-batch, here over the update.
    """
    return Algorithm(
        name="m2po",
        advantage=GroupRelative(scale="group"),
        sample_filters=(LimitSecondMoment(threshold),),
        bounds=ConstantBounds(clip_low, clip_high),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


@method(
    family="policy-loss",
    source="DeepSeek-V3.2 (arXiv 2512.02556)",
    provenance="official vectors",
)
def opsm(
    *,
    threshold: float = 0.5,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.0,
) -> Algorithm:
    """OPSM: GRPO that ignores punished rows which the policy has moved away from.

    J as in GRPO; rows with A < 0 and mean_t(l_roll - l) > threshold count 0, the number of rows
    stays.

    Source: DeepSeek-V3.2 (arXiv 2512.02556), off-policy sequence masking; huggingface/trl
    (`off_policy_mask_threshold`), whose documentation suggests to start at 0.5.
    """
    return Algorithm(
        name="opsm",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        token_weights=(DropOffPolicyRows(threshold),),
        regularisers=regularisers(kl_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )
