"""ARES's adaptive entropy policy optimisation."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.bucket_kl import BucketBetas, BucketKL
from agentrl.algorithms.regularisers.row_kl import RowWeightedKL
from agentrl.algorithms.rewards.entropy_control import EntropyControl
from agentrl.algorithms.rewards.entropy_score import EntropyScore, MeanRewardBand
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.rewards.window_entropy import WORDS, WindowEntropy


@method(
    family="reward",
    source="ARES (arXiv 2510.08457); shawn0728/ARES",
    provenance="official vectors",
)
def ares(
    *,
    variant: str = "paper",
    window: int = 4,
    trigger_words: tuple[str, ...] = WORDS,
    threshold: float | None = None,
    correctness: str = "success",
    allow_self_labels: bool = False,
    filter_groups: bool = True,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.01,
    kl_target: float = 0.01,
    kl_interval: int = 1,
) -> Algorithm:
    """ARES: rewards high-entropy thinking on hard tasks, taxes it on easy ones; KL by difficulty.

    R_i <- R_i + E(n_i, target, alpha, difficulty, right_i), n_i the words of reasoning whose next
    `window` tokens have a mean entropy of at least the threshold; A_i = (R_i - mu_g) / sigma_g.
    loss = PPO clip + kl_coefficient mean_i beta_bucket(i) mean_t k3, groups with a mean reward
    outside (0.01, 0.99) dropped.  Threshold, alpha and beta follow the run.

    `variant`: `paper` finds difficulties before it scores; `released` keeps the shipped order,
    where every episode is scored as easy with target 0 and alpha 0.5.

    Source: arXiv 2510.08457; shawn0728/ARES.  Branching at such tokens was not released.
    """
    one_of("variant", variant, ("paper", "released"))
    truth = Truth(correctness=correctness, allow_self_labels=allow_self_labels)
    windows = WindowEntropy(window=window, words=tuple(trigger_words))
    score = EntropyScore(
        windows=windows, threshold=threshold, by_difficulty=variant == "paper", truth=truth
    )
    return Algorithm(
        name="ares",
        reward_shaping=(score,),
        group_filter=MeanRewardBand() if filter_groups else None,
        advantage=GroupRelative(scale="group"),
        transforms=(BucketKL(truth=truth),),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=(RowWeightedKL(coefficient=kl_coefficient),),
        controllers=(EntropyControl(), BucketBetas(target=kl_target, interval=kl_interval)),
    )
