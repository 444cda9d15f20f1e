"""GMPO: the geometric mean of a row's ratios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.behaviour.presets import behaviour_weights
from agentrl.algorithms.behaviour.row_weights import RowGeometricMean
from agentrl.algorithms.ratios.adaptive_bounds import LogBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.slots import Weight
from agentrl.algorithms.surrogates.rows import GeometricMean


@method(family="policy-loss", source="GMPO (arXiv 2507.20673)", provenance="official vectors")
def gmpo(
    *,
    clip_low: float = 0.4,
    clip_high: float = 0.4,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
    behaviour: str | Mapping[str, Any] | tuple[Weight, ...] = "none",
) -> Algorithm:
    """GMPO: GRPO with the geometric instead of the arithmetic mean over a row's tokens.

    J = 1/D sum_i A_i (prod_t r_t)^(1/n_i), each r_t clipped to [e^-clip_low, e^clip_high] on the
    side where the clip acts.

    Source: GMPO (arXiv 2507.20673), eq. 4; range (e^-0.4, e^0.4) as in its experiments, where
    verl's port would use its general 0.2.  verl averages over all rows; rows without a token are
    not counted here.  A `behaviour` weight enters as its geometric mean over the row, as in verl.
    """
    weights = behaviour if isinstance(behaviour, tuple) else behaviour_weights(behaviour)
    return Algorithm(
        name="gmpo",
        advantage=GroupRelative(scale="group"),
        bounds=LogBounds(clip_low, clip_high),
        surrogate=GeometricMean(),
        behaviour=(RowGeometricMean(weights),) if weights else (),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )
