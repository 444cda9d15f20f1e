"""Plain policy gradient with different baselines: REINFORCE, RLOO, OPO, GPG."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import (
    EpisodeReturn,
    LeaveOneOut,
    LengthWeightedBaseline,
    ScaledGroupMean,
)
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import UnitRatio
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.rewards.shaping import KLInReward
from agentrl.algorithms.slots import BatchStep
from agentrl.algorithms.surrogates.standard import PPOClip, WeightPG


@method(family="policy-loss", source="REINFORCE (Williams, 1992)", provenance="official vectors")
def reinforce(*, entropy_coefficient: float = 0.0) -> Algorithm:
    """REINFORCE: the log-prob of every episode times its return, no baseline.

    J = 1/D sum_i R_i sum_t l_it, D the number of rows.

    Source: Williams (1992), Simple statistical gradient-following algorithms; aggregation as in
    verl-project/verl (`seq-mean-token-sum`).  On-policy only: there is no ratio.
    """
    return _plain("reinforce", EpisodeReturn(), Mode.SEQ_MEAN_TOKEN_SUM, entropy_coefficient)


@method(
    family="policy-loss", source="Back to Basics (arXiv 2402.14740)", provenance="official vectors"
)
def rloo(*, kl_reward_coefficient: float = 0.0, entropy_coefficient: float = 0.0) -> Algorithm:
    """RLOO: REINFORCE with the mean return of the group's other episodes as baseline.

    J = 1/D sum_i (R_i - mean_{j != i} R_j) sum_t l_it, with kl_reward_coefficient times the KL to
    the reference taken off the return.

    Source: Ahmadian et al., Back to Basics (arXiv 2402.14740); its RLHF runs take a KL off the
    return, which verifiable rewards do without, so the coefficient is 0 and needs no reference.
    """
    shaping = (KLInReward(coefficient=kl_reward_coefficient),) if kl_reward_coefficient else ()
    return _plain("rloo", LeaveOneOut(), Mode.SEQ_MEAN_TOKEN_SUM, entropy_coefficient, shaping)


@method(family="policy-loss", source="GPG (arXiv 2504.02546)", provenance="official vectors")
def gpg(*, entropy_coefficient: float = 0.0) -> Algorithm:
    """GPG: plain policy gradient on the centred return, rescaled for groups without signal.

    J = 1/N sum_i alpha (R_i - mu_g) sum_t l_it, alpha = episodes / episodes with R != 0.

    Source: GPG: A Simple and Strong Reinforcement Learning Baseline for Model Reasoning (arXiv
    2504.02546); formula as released in verl-project/verl (`compute_gpg_outcome_advantage`,
    `compute_policy_loss_gpg`), normaliser f_norm = 1.
    """
    return _plain("gpg", ScaledGroupMean(), Mode.TOKEN_MEAN, entropy_coefficient)


@method(
    family="policy-loss",
    source="On-Policy RL with Optimal Reward Baseline (arXiv 2505.23585)",
    provenance="official vectors",
)
def opo(*, clip_low: float = 0.2, clip_high: float = 0.2) -> Algorithm:
    """OPO: the variance-optimal, length-weighted baseline; exact on-policy training.

    A_i = R_i - sum_j n_j R_j / sum_j n_j over the group; J as PPO clip with token mean.

    Source: On-Policy RL with Optimal Reward Baseline (arXiv 2505.23585); no KL and no entropy
    term.  The clip at 0.2 is ours; with one update per rollout it never acts.
    """
    return Algorithm(
        name="opo",
        advantage=LengthWeightedBaseline(),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


def _plain(
    name: str,
    advantage: BatchStep,
    mode: Mode,
    entropy_coefficient: float,
    shaping: tuple[BatchStep, ...] = (),
) -> Algorithm:
    return Algorithm(
        name=name,
        reward_shaping=shaping,
        advantage=advantage,
        ratio=UnitRatio(),
        bounds=ConstantBounds(None, None),
        surrogate=WeightPG(),
        regularisers=regularisers(entropy_coefficient=entropy_coefficient),
        aggregation=Aggregation(mode),
    )
