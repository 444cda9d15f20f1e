"""Clip-Cov and KL-Cov: act on the few tokens whose covariance drives the entropy down."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.log_ratio_penalty import LogRatioPenalty
from agentrl.algorithms.surrogates.standard import PPOClip, RatioPG
from agentrl.algorithms.weights.rankings import TopFraction
from agentrl.algorithms.weights.scores import Covariance
from agentrl.algorithms.weights.tokens import covariance_band

_SOURCE = "The Entropy Mechanism (arXiv 2505.22617)"


@method(family="policy-loss", source=_SOURCE, provenance="official vectors")
def clip_cov(
    *,
    fraction: float = 2e-4,
    covariance_low: float = 1.0,
    covariance_high: float = 5.0,
    clip_low: float = 1.0,
    clip_high: float = 1.0,
    order: str = "random",
) -> Algorithm:
    """Clip-Cov: PPO clip in which a few tokens of high covariance learn nothing.

    J = 1/N sum w min(r A, clip(r) A), w = 0 on at most max(floor(fraction N), 1) tokens drawn from
    those with covariance_low < (A - mean A)(l - mean l) < covariance_high that the clip leaves a
    gradient; r in [1 - clip_low, 1 + clip_high].

    Source: The Entropy Mechanism (arXiv 2505.22617), section 4.2; its recipe opens the clip to
    [0, 2] and has no dual clip.  The paper detaches the chosen tokens, the code sets their loss to
    0: equal gradients, and the code is followed.  The draw comes from the seeded generator, over
    the optimiser batch; the code draws unseeded in every micro-batch.
    """
    return Algorithm(
        name="clip_cov",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(),
        token_weights=(covariance_band(fraction, covariance_low, covariance_high, order=order),),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


@method(family="policy-loss", source=_SOURCE, provenance="official vectors")
def kl_cov(*, fraction: float = 2e-3, kl_coefficient: float = 1.0) -> Algorithm:
    """KL-Cov: no clip; the tokens of highest covariance are held near the old policy.

    J = 1/N sum [ r A - kl_coefficient |l - l_old| on the max(floor(fraction N), 1) tokens with the
    highest (A - mean A)(l - mean l) ].

    Source: The Entropy Mechanism (arXiv 2505.22617), section 4.2; `fraction` is 2e-3 for 7B and
    2e-4 for 32B models, written as percentages (0.2, 0.02) in its code.  verl takes a fraction and
    defaults to 2e-4.  Its eq. 14 has KL(old || new); listing and code, followed: the absolute
    log-ratio.
    """
    penalty = LogRatioPenalty(
        coefficient=kl_coefficient, selector=TopFraction(Covariance(), fraction)
    )
    return Algorithm(
        name="kl_cov",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(None, None),
        surrogate=RatioPG(),
        regularisers=(penalty,),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
