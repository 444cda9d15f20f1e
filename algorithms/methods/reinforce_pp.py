"""REINFORCE++: PPO's clip and whitening over the whole batch, without a critic."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.advantages.tokens import RewardToGo, Whiten
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.rewards.shaping import KLInReward


@method(
    family="policy-loss",
    source="REINFORCE++ (arXiv 2501.03262)",
    provenance="official vectors",
)
def reinforce_pp(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    kl_reward_coefficient: float = 0.01,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """REINFORCE++: reward to go with the KL inside the reward, whitened over the batch.

    A_t = whiten( sum_{s >= t} gamma^{s-t} (r_s - beta k1(l_old, l_ref)_s) ), then PPO clip with
    token mean.

    Source: REINFORCE++ (arXiv 2501.03262); formula as released in verl-project/verl.  The
    KL coefficient varies between releases; 0.01 is the one of OpenRLHF/OpenRLHF.
    """
    shaping = (KLInReward(coefficient=kl_reward_coefficient),) if kl_reward_coefficient else ()
    return Algorithm(
        name="reinforce_pp",
        reward_shaping=shaping,
        advantage=RewardToGo(gamma=gamma),
        transforms=(Whiten(),),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(entropy_coefficient=entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


@method(
    family="policy-loss",
    source="REINFORCE++ (arXiv 2501.03262)",
    provenance="official vectors",
)
def reinforce_pp_baseline(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.001,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """REINFORCE++-baseline: return minus the group's mean, whitened over the batch.

    A = whiten(R - mu_g), then PPO clip with token mean and a k2 loss to the reference.

    Source: REINFORCE++ (arXiv 2501.03262), the variant with a group baseline; whitening over
    valid tokens as released in verl-project/verl, whose KL coefficients are 0.001 by default.
    """
    return Algorithm(
        name="reinforce_pp_baseline",
        advantage=GroupRelative(scale="none"),
        transforms=(Whiten(),),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k2", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
