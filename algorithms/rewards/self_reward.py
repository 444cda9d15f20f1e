"""Rewards without ground truth: how often the group gave the same answer (EMPO, TTRL)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.metrics import NOTED
from agentrl.algorithms.rewards.answers import AnswerClusters
from agentrl.algorithms.rewards.clusters import Clusters
from agentrl.algorithms.timeline import at_last_token
from agentrl.errors import ConfigError


def with_returns(batch: Batch, returns_B: Tensor) -> Batch:
    """Return the batch with other rewards, each episode's at its last valid token."""
    returns_B = returns_B.to(batch.returns_B.dtype)
    return replace(batch, returns_B=returns_B, rewards_BT=at_last_token(batch, returns_B))


def with_votes(batch: Batch, found: Clusters) -> Batch:
    """Leave for the report what the votes say; a vote may collapse on one wrong answer.

    `vote/majority_share` is the share of the largest cluster, over groups' episodes, and
    `vote/majority_success` the success of the episodes in it, where the environment knows it.
    """
    majority_B = found.first_B & found.majority()
    nan = torch.full_like(found.share_B, math.nan)
    notes = {f"{NOTED}vote/majority_share": torch.where(found.first_B, found.largest_share(), nan)}
    if "success" in batch.components:
        success_B = batch.component("success").double()
        notes[f"{NOTED}vote/majority_success"] = torch.where(majority_B, success_B, nan)
    return batch.with_notes(**notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFrequency:
    """Reward: the share of the group that gave the episode's answer (EMPO).

    Source: EMPO (arXiv 2504.05812); QingyangZhang/EMPO:verl-empo, `empo_metrics`.

    Attributes:
        clusters: how answers are read and compared.
        rule: `frequency`, or `voting`: 1 for members of a largest cluster, 0 for the others.
        pay_empty: False gives episodes without an answer 0 (the authors' trl code).
        pay_scattered: False gives 0 to all of a group whose answers all differ (likewise).
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    self_labelled: ClassVar[bool] = True
    clusters: AnswerClusters = field(default_factory=AnswerClusters)
    rule: str = "frequency"
    pay_empty: bool = True
    pay_scattered: bool = True

    def __post_init__(self) -> None:
        one_of("reward.rule", self.rule, ("frequency", "voting"))

    def rewards(self, found: Clusters) -> Tensor:
        """Return the reward of each row's episode [B], float64; 0 if it does not count."""
        rewards_B = found.share_B
        if self.rule == "voting":
            rewards_B = (found.counted_B & (rewards_B == found.largest_share())).double()
        if not self.pay_empty:
            rewards_B = torch.where(found.empty_B, 0.0, rewards_B)
        return rewards_B if self.pay_scattered else rewards_B * found.repeated_B

    def __call__(self, batch: Batch) -> Batch:
        """Replace the rewards."""
        found = self.clusters(batch)
        return with_votes(with_returns(batch, self.rewards(found)), found)


@dataclass(frozen=True, slots=True, kw_only=True)
class MajorityLabel:
    """Reward: 1 for the episodes that gave the group's most common answer, else 0 (TTRL).

    Of equally common answers the one seen first wins; episodes without an answer do not vote, and
    get 0.  All episodes vote, the first `train` of each group are learned from.

    Source: TTRL (arXiv 2504.16084); PRIME-RL/TTRL:verl/verl/utils/reward_score/ttrl.  The released
    code counts answer texts and then compares answers with the winner; here the clusters vote.

    Attributes:
        clusters: how answers are read and compared.
        train: n, episodes of a group that stay in the mask; None keeps all.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    self_labelled: ClassVar[bool] = True
    clusters: AnswerClusters = field(default_factory=AnswerClusters)
    train: int | None = 32

    def __post_init__(self) -> None:
        if self.train is not None:
            in_range("train_rollouts", self.train, 1)

    def __call__(self, batch: Batch) -> Batch:
        """Replace the rewards, and mask the episodes that only vote."""
        found = self.clusters(batch)
        batch = with_votes(with_returns(batch, found.majority().double()), found)
        return batch if self.train is None else batch.keep(found.place_B < self.train)


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticBand:
    """Group filter: keep groups that are neither sure of their answer nor without any agreement.

    A group stays if `low < Hs < high` and its largest cluster has a share in
    [`least`, `most`], Hs its semantic entropy.

    Source: EMPO (arXiv 2504.05812), which does not print its two thresholds.  The authors' verl
    code tests only the share of the largest cluster, within [0.3, 1], and ships with that off.

    Attributes:
        clusters: how answers are read and compared.
        low: in nats; -inf lets unanimous groups pass.
        high: in nats; None is ln of the group's size, +inf lets all pass.
        least: smallest share of the largest cluster.
        most: largest share of it.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    clusters: AnswerClusters = field(default_factory=AnswerClusters)
    low: float = 0.0
    high: float | None = None
    least: float = 0.3
    most: float = 1.0

    def __post_init__(self) -> None:
        in_range("entropy_low", self.low)
        if self.high is not None and not self.low < self.high:
            raise ConfigError(
                f"`entropy_high` is {self.high}; it must be larger than `entropy_low` {self.low}."
            )
        in_range("share_least", self.least, 0, 1)
        in_range("share_most", self.most, self.least, 1)

    def keep(self, batch: Batch) -> Tensor:
        """Return bool [B]: rows of groups that stay."""
        found = self.clusters(batch)
        entropy_B, share_B = found.entropy(), found.largest_share()
        below_B = found.repeated_B if self.high is None else entropy_B < self.high
        inside_B = (share_B >= self.least) & (share_B <= self.most)
        return (entropy_B > self.low) & below_B & inside_B

    def __call__(self, batch: Batch) -> Batch:
        """Mask the dropped groups."""
        return batch.keep(self.keep(batch))


NO_BAND = {"low": -math.inf, "high": math.inf}
"""Settings of a band that tests only the share of the largest cluster."""
