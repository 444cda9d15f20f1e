"""APO: KL by difficulty, and pressure on long wrong episodes."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.row_kl import RowWeightedKL
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.transforms.difficulty import DifficultyKL, LongWrong


@method(
    family="reward",
    source="APO (arXiv 2506.21655); Indolent-Kawhi/View-R1",
    provenance="official vectors",
)
def apo(
    *,
    length_base: float = 1.00001,
    correctness: str = "success",
    allow_self_labels: bool = False,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.001,
    kl_kind: str = "k3-unclamped",
) -> Algorithm:
    """APO: a weaker KL where a hard task was solved, larger advantages for long wrong episodes.

    A_i = w_i (R_i - mu_g) / (sigma_g + 1e-9),  loss = PPO clip + beta mean_i v_i mean_t k3
    w_i = 2 - c^-(n_i - Lp) for wrong episodes longer than Lp, the mean of the group's right ones
    v_i = 1 - exp(-e (1 - d)) where A_i > 0 and 0 < d < 1, d the share of wrong ones; else 1

    `correctness`: `success` as the environment reports it, or `reward`, a return of at least 1.

    Source: arXiv 2506.21655; Indolent-Kawhi/View-R1, which also clips rewards to [-10, 10].
    """
    truth = Truth(correctness=correctness, allow_self_labels=allow_self_labels)
    return Algorithm(
        name="apo",
        advantage=GroupRelative(scale="group", epsilon=1e-9),
        transforms=(LongWrong(base=length_base, truth=truth), DifficultyKL(truth=truth)),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=(RowWeightedKL(coefficient=kl_coefficient, kind=kl_kind),),
    )
