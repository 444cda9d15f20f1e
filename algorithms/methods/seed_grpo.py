"""SEED-GRPO: smaller steps on prompts whose answers scatter."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.rewards.answers import AnswerClusters, Equivalence
from agentrl.algorithms.transforms.semantic import SemanticEntropyScale


@method(
    family="reward",
    source="SEED-GRPO (arXiv 2505.12346)",
    provenance="reconstructed",
)
def seed_grpo(
    *,
    form: str = "linear",
    alpha: float = 0.5,
    semantic_entropy: str = "discrete",
    answers: str = "auto",
    equivalence: str | Equivalence = "text",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Algorithm:
    """SEED-GRPO: the advantage shrinks with the semantic entropy of the group's answers.

    A_i = (R_i - mu_g) f(alpha SE / ln G), the same factor for the whole group; `form` is
    `linear` 1 - x, `exp` e^-x or `reciprocal` 1 / (1 + x).  SE is -sum_c p ln p over shares of
    equal answers (`discrete`), or -1/K sum_k ln p(C_k) of normalised `likelihood`s.

    Source: arXiv 2505.12346.  alpha and f were not published; 0.5 and `linear` are our choice.
    """
    clusters = AnswerClusters(answers=answers, equivalence=equivalence)
    scale = SemanticEntropyScale(
        clusters=clusters, form=form, alpha=alpha, entropy=semantic_entropy
    )
    return Algorithm(
        name="seed_grpo",
        advantage=GroupRelative(scale="none"),
        transforms=(scale,),
        bounds=ConstantBounds(clip_low, clip_high),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )
