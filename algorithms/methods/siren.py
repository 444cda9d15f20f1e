"""SIREN: selective entropy regularisation."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.entropy_anchor import AnchoredEntropy, EntropyAnchor
from agentrl.algorithms.statistics import TopPEntropy


@method(
    family="policy-loss",
    source="SIREN (arXiv 2509.25133); Linn3a/siren",
    provenance="official vectors",
)
def siren(
    *,
    anchor_coefficient: float = 0.005,
    anchor: float | None = None,
    entropy_top_p: float = 0.8,
    entropy_top_k: int = 10_000,
    peak_quantile: float = 0.8,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    length: float | None = None,
) -> Algorithm:
    """SIREN: Dr.GRPO that holds the nucleus entropy of each row's peaks where it was at first.

    loss + `anchor_coefficient` (H - H_0)^2.  H: per token the entropy of the renormalised top-p
    nucleus, per row the mean over tokens above the row's `peak_quantile`, then the mean over
    rows.  H_0 is `anchor`, or H of the first rollout under the old policy.

    Source: Rethinking Entropy Regularization in Large Reasoning Models (arXiv 2509.25133);
    Linn3a/siren:verl/workers/actor/dp_actor.py.  Its script sets a clip ratio of 0.28 that has no
    effect beside the separate low and high ones of 0.2, which are the defaults here.
    """
    term = AnchoredEntropy(
        coefficient=anchor_coefficient,
        anchor=anchor,
        entropy=TopPEntropy(top_p=entropy_top_p, top_k=entropy_top_k),
        quantile=peak_quantile,
    )
    on = anchor_coefficient > 0
    return Algorithm(
        name="siren",
        advantage=GroupRelative(scale="none"),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=(term,) if on else (),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_SUM_NORM, length),
        controllers=(EntropyAnchor(),) if on and anchor is None else (),
    )
