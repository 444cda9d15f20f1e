"""GSPO and LUSPO: one importance ratio per sequence."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import SequenceRatio
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers


@method(
    family="policy-loss",
    source="GSPO (arXiv 2507.18071)",
    provenance="official vectors",
)
def gspo(
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """GSPO: GRPO with the length-normalised ratio of the whole sequence.

    J = 1/D sum_i min(s_i A_i, clip(s_i) A_i), s_i = exp(1/n_i sum_t (l - l_old)).

    Source: GSPO (arXiv 2507.18071), eq. 5 and 7, section 5.1; clip range from its experiments.
    verl release 0.9.1 aggregates by its configured mode (token-mean by default), which is not
    GSPO; its main branch and this one take the mean over sequences.
    """
    return Algorithm(
        name="gspo",
        advantage=GroupRelative(scale="group"),
        ratio=SequenceRatio(per_token=True),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )


@method(family="policy-loss", source="LUSPO (arXiv 2602.05261)", provenance="official vectors")
def luspo(
    *,
    clip_low: float = 2e-3,
    clip_high: float = 2.5e-3,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """LUSPO: GSPO in which a long sequence counts by its tokens, so length is not penalised.

    J = 1/D sum_i n_i min(s_i A_i, clip(s_i) A_i), s_i as in GSPO, n_i the tokens of row i.

    Source: Length-Unbiased Sequence Policy Optimization (arXiv 2602.05261); huggingface/trl
    (`loss_type="luspo"`, sequence-level importance sampling), clip range from its documentation of
    the paper.
    """
    return Algorithm(
        name="luspo",
        advantage=GroupRelative(scale="group"),
        ratio=SequenceRatio(per_token=False),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_SUM),
    )
