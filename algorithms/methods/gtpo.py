"""GTPO: tokens that good and bad episodes share, and a filter on entropy."""

from __future__ import annotations

import math

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.ratios.kinds import UnitRatio
from agentrl.algorithms.registry import method
from agentrl.algorithms.surrogates.standard import WeightPG
from agentrl.algorithms.weights.conflicts import ConflictTokens, ConflictWeight, EntropyFilter
from agentrl.algorithms.weights.initial_entropy import InitialEntropy


@method(
    family="reward",
    source="GTPO (arXiv 2508.03772); winstonsmith1897/GTPO",
    provenance="official vectors",
)
def gtpo(
    *,
    variant: str = "paper",
    conflict_weight: float = 2.0,
    entropy_gamma: float = 0.1,
    entropy_threshold: float | None = None,
    divide_by_conflicts: bool = False,
) -> Algorithm:
    """GTPO: tokens shared by good and bad episodes are spared or doubled; uncertain ones dropped.

    J = 1/D sum_i delta_i (A_i - gamma H_i) / n_i sum_t lambda_it l_it,  A_i = R_i - mu_g

    lambda is W or 0, by the sign of A, on runs of tokens that episodes of both signs share at the
    start or the end of a turn, W^2 in both, else 1.  H_i is the mean entropy of episode i, and
    delta_i = [H_i <= threshold].  No clip, no KL; policy gradient without a ratio.

    `variant`: `paper`, threshold ln 2, and all pass if the first policy's mean entropy is above
    it; `released`, threshold 0.7 always.

    Source: arXiv 2508.03772 and README; winstonsmith1897/GTPO.  There losses are summed over the
    group, not averaged, and divided by the conflicts (`divide_by_conflicts`).
    """
    one_of("variant", variant, ("paper", "released"))
    usual = math.log(2) if variant == "paper" else 0.7
    threshold = usual if entropy_threshold is None else entropy_threshold
    return Algorithm(
        name="gtpo",
        advantage=GroupRelative(scale="none"),
        transforms=(
            ConflictTokens(weight=conflict_weight),
            EntropyFilter(gamma=entropy_gamma, threshold=threshold),
        ),
        ratio=UnitRatio(),
        surrogate=WeightPG(),
        token_weights=(ConflictWeight(divide_by_conflicts=divide_by_conflicts),),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
        controllers=(InitialEntropy(),) if variant == "paper" else (),
    )
