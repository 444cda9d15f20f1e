"""Lp-Reg: low-probability regularisation."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.statistics import FilteredLogprobs
from agentrl.algorithms.surrogates.proxy import Either, KLToProxy, OpenWhere, unlikely


@method(
    family="policy-loss",
    source="Lp-Reg (arXiv 2510.03222); CarlanLark/Lp-Reg-dev",
    provenance="official vectors",
)
def lp_reg(
    *,
    filter: str = "min-p",
    filter_threshold: float = 0.02,
    share: float = 0.01,
    positive_share: float = 0.0,
    proxy_coefficient: float = 1.0,
    clip_low: float = 1.0,
    clip_high: float = 9.0,
) -> Algorithm:
    """Lp-Reg: GRPO that pulls improbable but sensible tokens up to a denoised old policy.

    On the `share` of tokens with A < 0 of lowest log-prob, where l < l_proxy: -A r +
    `proxy_coefficient` k3(l, l_proxy); elsewhere PPO clip with ratios in [1 - clip_low,
    1 + clip_high], no dual clip; token mean.  l_proxy is the log-prob under the old policy
    without the tokens that are improbable (`filter` min-p: p < kappa max p; fixed: p < kappa,
    kappa = `filter_threshold`).

    Source: Low-probability Tokens Sustain Exploration (arXiv 2510.03222);
    CarlanLark/Lp-Reg-dev:verl/trainer/ppo/core_algos.py, `compute_policy_loss_lp_reg`.  `share` is
    a fraction although named percent there, 0.005 for its 32B model; where it is fewer than two
    tokens nothing is chosen.  The proxy is of the old policy, so it acts on-policy too.
    """
    proxy = FilteredLogprobs(kind=filter, threshold=filter_threshold)
    selector = unlikely(share, proxy)
    if positive_share:
        selector = Either(selector, unlikely(positive_share, proxy, positive=True))
    on = share > 0 or positive_share > 0
    constant = ConstantBounds(clip_low, clip_high)
    term = KLToProxy(proxy=proxy, selector=selector, coefficient=proxy_coefficient)
    return Algorithm(
        name="lp_reg",
        advantage=GroupRelative(scale="group"),
        bounds=OpenWhere(selector=selector, other=constant) if on else constant,
        regularisers=(term,) if on else (),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
