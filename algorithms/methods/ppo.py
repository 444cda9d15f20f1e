"""PPO with a critic."""

from __future__ import annotations

from agentrl.algorithms.advantages.tokens import GAE, Whiten
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import ValueLoss, regularisers
from agentrl.algorithms.rewards.shaping import KLInReward
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="policy-loss",
    source="PPO (arXiv 1707.06347)",
    provenance="official vectors",
)
def ppo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    gamma: float = 1.0,
    lam: float = 0.95,
    kl_reward_coefficient: float = 0.0,
    value_coefficient: float = 0.5,
    value_clip: float | None = 0.2,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """PPO: advantages from a learned value function; the model needs a value head.

    J = 1/N sum min(r A, clip(r) A) - value_coefficient * value loss, A whitened GAE(gamma, lam).

    Source: Schulman et al. (arXiv 1707.06347), eq. 7 and 9; clip 0.2 and lambda 0.95 are the
    paper's, gamma 1 and the whitening are the custom for language models (verl-project/verl), the
    coefficient 0.5 and the clip 0.2 of the value loss are ours.
    """
    shaping = (KLInReward(coefficient=kl_reward_coefficient),) if kl_reward_coefficient else ()
    value = ValueLoss(coefficient=value_coefficient, value_clip=value_clip)
    return Algorithm(
        name="ppo",
        reward_shaping=shaping,
        advantage=GAE(gamma=gamma, lam=lam),
        transforms=(Whiten(),),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=(value, *regularisers(entropy_coefficient=entropy_coefficient)),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
