"""SAPO: a soft gate in place of the clip."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.surrogates.standard import SoftGate


@method(
    family="policy-loss",
    source="SAPO (arXiv 2511.20347)",
    provenance="official vectors",
)
def sapo(
    *,
    tau_positive: float = 1.0,
    tau_negative: float = 1.05,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """SAPO: GRPO whose tokens fade out smoothly as the ratio leaves 1.

    J = 1/D sum_i 1/n_i sum_t A_i sigmoid(tau (r - 1)) 4 / tau, tau by the sign of A_i.

    Source: Soft Adaptive Policy Optimization (arXiv 2511.20347); verl-project/verl and
    huggingface/trl, which share defaults and aggregation; inclusionAI/AReaL takes the mean over
    tokens (`aggregation="token-mean"`).
    """
    return Algorithm(
        name="sapo",
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(None, None),
        surrogate=SoftGate(tau_positive=tau_positive, tau_negative=tau_negative),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )
