"""HAPO: heterogeneous adaptive policy optimisation, token by token by entropy."""

from __future__ import annotations

from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.filters.standard import DropUniformGroups
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.entropy_bounds import (
    EntropyBounds,
    EntropyRedistribution,
    EntropyScale,
    TokenGroupRelative,
)
from agentrl.algorithms.registry import method
from agentrl.algorithms.strategies.hapo_sampler import HapoSampler, SamplerStatistics
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="policy-loss",
    source="HAPO (arXiv 2509.16591); starriver030515/HAPO",
    provenance="official vectors",
)
def hapo(
    *,
    sign: str = "intended",
    entropy_pivot: float = 0.8,
    clip_alpha: float = 1.0,
    advantage_beta: float = 1.0,
    temperature_tau: float = 0.05,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 10.0,
    dynamic_sampling: bool = True,
) -> Algorithm:
    """HAPO: entropy decides each token's temperature, advantage and clip range.

    h in [-1, 1] is ln H, centred at its `entropy_pivot` quantile and scaled.  A is relative to the
    mean over all tokens of the group.  h > 0: clip_high (1 + `clip_alpha` h), and
    A (1 + `advantage_beta` h) outside the neutral band;  h <= 0: clip_low (1 - `clip_alpha` h), and
    A (1 + `advantage_beta` h) inside it.  The band is half the clip range; token mean.

    Source: Heterogeneous Adaptive Policy Optimization (arXiv 2509.16591);
    starriver030515/HAPO:verl/trainer/ppo/core_algos.py.  There a slip makes h >= 0 for every token,
    so what is meant for low entropy never happens: `sign` official; default `intended`.
    `temperature_tau` is the strength of the sampler, `HapoSampler`, which knows h from the last
    update's tokens and samples the first rollout at T_0; 0 leaves it out.  Old log-probs are those
    of T_0: no importance correction for the temperatures, as released.
    """
    scale = EntropyScale(pivot=entropy_pivot, sign=sign)
    base = ConstantBounds(clip_low, clip_high)
    adaptive = temperature_tau != 0
    return Algorithm(
        name="hapo",
        rollout=HapoSampler(tau=temperature_tau, sign=sign) if adaptive else None,
        group_filter=DropUniformGroups() if dynamic_sampling else None,
        advantage=TokenGroupRelative(),
        bounds=EntropyBounds(base=base, alpha=clip_alpha, scale=scale),
        late_transforms=(EntropyRedistribution(beta=advantage_beta, scale=scale),),
        surrogate=PPOClip(dual_clip),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
        controllers=(SamplerStatistics(pivot=entropy_pivot),) if adaptive else (),
    )
