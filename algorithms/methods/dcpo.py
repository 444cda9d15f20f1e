"""DCPO: entropy held at a target through a tempered copy of the policy."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.surrogates.standard import PPOClip
from agentrl.algorithms.transforms.distribution_mix import DistributionMix, EntropyFeedback


@method(
    family="policy-loss",
    source="DCPO (arXiv 2601.12730); 597358816/DCPO",
    provenance="official vectors",
)
def dcpo(
    *,
    entropy_target: float = 0.5,
    temperature_high: float = 1.2,
    temperature_low: float = 0.8,
    alpha_cap: float = 0.1,
    score_threshold: float = 0.05,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """DCPO: correct tokens also earn what a hotter or colder copy of the policy gives them.

    A' = (1 - alpha) A + alpha b rho,  rho = pi_old^T / pi_old at the sampled token, b = 1 for
    returns above `score_threshold`;  T = `temperature_high` while the previous update's entropy
    H is at most `entropy_target`, else `temperature_low`;  alpha = a / (1 + a),
    a = min(|target - H|, `alpha_cap`) / (share of correct episodes).  Then GRPO with token mean.

    Source: Distribution-Centric Policy Optimization (arXiv 2601.12730);
    597358816/DCPO:verl/trainer/ray_trainer.py.  Differs: temperatures are settings, the entropy is
    exact, and A is left alone where no episode is correct (the released code divides by 0 there).
    """
    mix = DistributionMix(
        target=entropy_target,
        high=temperature_high,
        low=temperature_low,
        cap=alpha_cap,
        threshold=score_threshold,
    )
    return Algorithm(
        name="dcpo",
        advantage=GroupRelative(scale="group"),
        transforms=(mix,),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
        controllers=(EntropyFeedback(),),
    )
