"""Methods that move the bounds of the ratio: BAPO, ETR, DISPO."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.methods.dapo import dapo
from agentrl.algorithms.ratios.adaptive_bounds import (
    BalancedBounds,
    BoundsBySign,
    ElasticBounds,
    NoteOutcomeVariance,
)
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.surrogates.standard import PPOClip, WeightPG


@method(family="policy-loss", source="BAPO (arXiv 2510.18927)", provenance="official vectors")
def bapo(
    *,
    positive_share: float = 0.5,
    low_start: float = 0.6,
    low_end: float = 0.9,
    high_start: float = 1.2,
    high_end: float = 3.0,
    low_step: float = 0.05,
    high_step: float = 0.05,
    dual_clip: float | None = 3.0,
    count_clipped: bool = False,
) -> Algorithm:
    """BAPO: PPO clip whose range opens until positive tokens carry their share of the gradient.

    Per optimiser batch, first the lower and then the upper bound rises step by step until
    sum_{A >= 0} A r / sum_{A < 0} |A| r reaches positive_share / (1 - positive_share).

    Source: BAPO (arXiv 2510.18927); WooooDyy/BAPO.  Share 0.5 and the ranges are those of its
    README, the steps those of its configuration.  The code's target is positive / negative, so its
    script's 0.5 is a share of 1/3.  The code counts clipped tokens at their bound, which makes the
    first search futile: `count_clipped=True`.  The default leaves out tokens without gradient.
    """
    in_range("positive_share", positive_share, 0, 0.999)
    bounds = BalancedBounds(
        target=positive_share / (1 - positive_share),
        low=low_start,
        low_end=low_end,
        high=high_start,
        high_end=high_end,
        low_step=low_step,
        high_step=high_step,
        count_clipped=count_clipped,
    )
    return Algorithm(
        name="bapo",
        advantage=GroupRelative(scale="group"),
        bounds=bounds,
        surrogate=PPOClip(dual_clip),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )


@method(family="policy-loss", source="ETR (arXiv 2601.03723)", provenance="reconstructed")
def etr(
    *,
    advantage_gain: float = 1.0,
    group_gain: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    scale_low: float = 0.5,
    scale_high: float = 2.0,
    outcome_low: float = 0.0,
    outcome_high: float = 1.0,
    dual_clip: float | None = 10.0,
    overlong: str = "penalty",
    overlong_max_tokens: int = 20480,
    overlong_buffer_tokens: int = 4096,
    dynamic_sampling: bool = True,
) -> Algorithm:
    """ETR: DAPO whose clip range grows with the advantage and with how mixed the group is.

    Range [1 - s clip_low, 1 + s clip_high], s = 1 + advantage_gain (|A| / (1 + |A|) - 1/2)
    + group_gain (4 Var(R_g) - 1/2) inside [scale_low, scale_high]; outcomes R are scaled from
    [outcome_low, outcome_high] to [0, 1].  Gains of 0 are DAPO, whose settings are the others.

    Source: Outcome-Guided Elastic Trust Regions (arXiv 2601.03723), reconstructed from the
    abstract, which says that the boundary scales with the advantage's size and the variance of
    the group's pass rate; formula and constants are ours.
    """
    bounds = ElasticBounds(
        clip_low=clip_low,
        clip_high=clip_high,
        advantage_gain=advantage_gain,
        group_gain=group_gain,
        scale_low=scale_low,
        scale_high=scale_high,
    )
    base = dapo(
        dual_clip=dual_clip,
        overlong=overlong,
        overlong_max_tokens=overlong_max_tokens,
        overlong_buffer_tokens=overlong_buffer_tokens,
        dynamic_sampling=dynamic_sampling,
    )
    note = NoteOutcomeVariance(outcome_low, outcome_high)
    return replace(base, name="etr", transforms=(note,), bounds=bounds)


@method(family="policy-loss", source="DISPO (arXiv 2602.00983)", provenance="identity tests")
def dispo(
    *,
    positive_low: float | None = None,
    positive_high: float | None = 4.0,
    negative_low: float | None = None,
    negative_high: float | None = 9.0,
    variant: str = "dispo",
) -> Algorithm:
    """DISPO: CISPO with separate bounds of the weight for rewarded and punished tokens.

    J = 1/N sum sg(clip(r, 1 - low, 1 + high)) A l, low and high by the sign of A.

    variant="topr" is TOPR: weight 1 where A > 0, clip(r, 0, 1) elsewhere, whatever the bounds.

    Source: DISPO (arXiv 2602.00983), objective from secondary notes.  Its thresholds are not known
    to us: positive ones are those of `cispo`, negative ones looser, as its abstract advises.  With
    equal bounds it is CISPO.
    """
    one_of("variant", variant, ("dispo", "topr"))
    positive = ConstantBounds(positive_low, positive_high)
    negative = ConstantBounds(negative_low, negative_high)
    if variant == "topr":
        positive, negative = ConstantBounds(0.0, 0.0), ConstantBounds(1.0, 0.0)
    return Algorithm(
        name="dispo",
        advantage=GroupRelative(scale="group"),
        bounds=BoundsBySign(positive=positive, negative=negative),
        surrogate=WeightPG(),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
