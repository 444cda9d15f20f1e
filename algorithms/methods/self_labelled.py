"""Methods that learn from the agreement of the group's answers: EMPO, TTRL and ETTRL."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import SequenceRatio, TokenRatio
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.rewards.answers import AnswerClusters, Equivalence
from agentrl.algorithms.rewards.self_reward import (
    NO_BAND,
    ClusterFrequency,
    MajorityLabel,
    SemanticBand,
)
from agentrl.algorithms.strategies.ettrl import Ettrl
from agentrl.algorithms.transforms.semantic import EntropyReshaping

_BANDS = {
    "paper": {"least": 0.3},
    "trl": {"least": 0.0, **NO_BAND},
    "verl": {"least": 0.3, **NO_BAND},
}
_CLIPS = {"paper": (0.2, 0.2), "trl": (0.2, 0.2), "verl": (3e-4, 4e-4)}


@method(
    family="reward",
    source="EMPO (arXiv 2504.05812); QingyangZhang/EMPO",
    provenance="official vectors",
)
def empo(
    *,
    variant: str = "paper",
    answers: str = "auto",
    equivalence: str | Equivalence = "text",
    filter_groups: bool | None = None,
    clip_low: float | None = None,
    clip_high: float | None = None,
) -> Algorithm:
    """EMPO: the share of the group that gave the same answer is the reward; no labels, no KL.

    R_i = |c(i)| / G,  A_i = (R_i - mu_g) / sigma_g, c(i) the episodes with i's answer.  Groups
    stay if 0 < Hs < ln G and a cluster holds at least 0.3 of them, Hs = -sum_c p ln p.

    `variant`: `paper`; `trl`, the authors' first code: no answer is worth 0, all are where every
    answer differs, no filter; `verl`, their later one: GSPO's ratio, clip 3e-4 / 4e-4, and with
    `filter_groups` only the test of the largest cluster.

    Source: arXiv 2504.05812; its thresholds are not printed, 0 and ln G are ours, as is clip 0.2.
    """
    one_of("variant", variant, tuple(_BANDS))
    low, high = _CLIPS[variant]
    clusters = AnswerClusters(
        answers=answers, equivalence=equivalence, empty="together" if variant == "trl" else "own"
    )
    strict = variant == "trl"
    reward = ClusterFrequency(clusters=clusters, pay_empty=not strict, pay_scattered=not strict)
    band = SemanticBand(clusters=clusters, **_BANDS[variant])
    filtering = variant == "paper" if filter_groups is None else filter_groups
    return Algorithm(
        name="empo",
        reward=reward,
        group_filter=band if filtering else None,
        advantage=GroupRelative(scale="group", epsilon=1e-4 if strict else 1e-6),
        ratio=SequenceRatio() if variant == "verl" else TokenRatio(),
        bounds=ConstantBounds(
            low if clip_low is None else clip_low, high if clip_high is None else clip_high
        ),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )


@method(
    family="reward",
    source="TTRL (arXiv 2504.16084); PRIME-RL/TTRL",
    provenance="official vectors",
)
def ttrl(
    *,
    answers: str = "auto",
    equivalence: str | Equivalence = "text",
    train_rollouts: int | None = 32,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.001,
    kl_kind: str = "k3",
) -> Algorithm:
    """TTRL: reward 1 for the group's most common answer, which stands for the missing label.

    R_i = [answer_i = majority],  A_i = (R_i - mu_g) / sigma_g over the first `train_rollouts` of
    the group; all of it votes.  The paper samples 64 and trains on 32.

    Source: arXiv 2504.16084; PRIME-RL/TTRL.  GRPO with PPO clip and a k3 term to the reference.
    """
    clusters = AnswerClusters(answers=answers, equivalence=equivalence)
    return Algorithm(
        name="ttrl",
        reward=MajorityLabel(clusters=clusters, train=train_rollouts),
        advantage=GroupRelative(scale="group"),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, kl_kind),
        aggregation=Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN),
    )


@method(
    family="reward",
    source="ETTRL (arXiv 2508.11356)",
    provenance="identity tests",
)
def ettrl(
    *,
    reshape: str = "res",
    beta: float = 2.0,
    roots: int = 12,
    fork_count: int = 2,
    branches: int = 2,
    answers: str = "auto",
    equivalence: str | Equivalence = "text",
    train_rollouts: int | None = 32,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.001,
) -> Algorithm:
    """ETTRL: TTRL on trees that fork where entropy is high, with advantages reshaped by entropy.

    `reshape`: `res`, A_i <- max(0, 2 - H_i / mean_g H) A_i with H_i the mean entropy of episode i;
    `clip`, A_i <- clip(A_i, -beta, beta).  A prompt gets M (1 + N B) rollouts: `roots` M trees,
    `fork_count` N forks of each, `branches` B rows from each, of which only the root is trained on
    what they share.

    Source: arXiv 2508.11356; no code was released.  Clamping at 0 is our guard; the first
    `train_rollouts` leaves are trained on, as in TTRL.
    """
    base = ttrl(
        answers=answers,
        equivalence=equivalence,
        train_rollouts=train_rollouts,
        clip_low=clip_low,
        clip_high=clip_high,
        kl_coefficient=kl_coefficient,
    )
    return replace(
        base,
        name="ettrl",
        rollout=Ettrl(roots=roots, fork_count=fork_count, branches=branches),
        transforms=(EntropyReshaping(kind=reshape, beta=beta),),
    )
