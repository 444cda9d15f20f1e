"""RiskPO: learn from the lower tail of what bundles of tasks score."""

from __future__ import annotations

from agentrl.algorithms.advantages.quantiles import QuantileTracking
from agentrl.algorithms.advantages.risk import RiskOverBundles
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import SequenceRatio, TokenRatio
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers


@method(
    family="advantage",
    source="RiskPO (arXiv 2510.00911)",
    provenance="official vectors",
)
def riskpo(
    *,
    bundle: int = 5,
    low: float = 0.2,
    high: float = 0.8,
    measure: str = "mixed",
    mix: float = 1.5,
    quantiles: str = "tracked",
    natural_baseline: bool = False,
    credit: str | None = None,
    pairing: str = "random",
    variant: str = "paper",
    tracking_rate: float = 0.1,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """RiskPO: mixed value at risk of the scores of bundles instead of their mean.

    J = 1/D sum_i min(s_i A_i, clip(s_i) A_i), s_i the sequence ratio exp(mean_t (l - l_old)).  A_i
    comes from U, the risk value of the score of `bundle` tasks answered once each: weight 1 + mix
    below the quantile at `low`, 1 up to that at `high`, 0 above (`RiskOverBundles`).  The quantiles
    follow the scores over the run by steps of `tracking_rate` (`QuantileTracking`).

    Source: RiskPO (arXiv 2510.00911) for `variant="paper"`: every episode gets its paper's U, and
    the loss is per sequence; its clip range is not known.  `variant="script"` is RTkenny/RiskPO's
    main script: token ratio and token-mean, credit `share`.  `credit` overrides either.
    """
    one_of("variant", variant, ("paper", "script"))
    paper = variant == "paper"
    advantage = RiskOverBundles(
        bundle=bundle,
        low=low,
        high=high,
        measure=measure,
        mix=mix,
        quantiles=quantiles,
        natural_baseline=natural_baseline,
        credit=credit or ("uniform" if paper else "share"),
        pairing=pairing,
    )
    return Algorithm(
        name="riskpo",
        advantage=advantage,
        ratio=SequenceRatio(per_token=False) if paper else TokenRatio(),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN if paper else Mode.TOKEN_MEAN),
        controllers=(QuantileTracking(rate=tracking_rate),),
    )
