"""ARES's reward for thinking long where it pays: a score of high-entropy words by difficulty.

Source: ARES (arXiv 2510.08457); shawn0728/ARES:examples/reward_function/aepo.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.episodes import counted_rows, group_statistics
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.rewards.window_entropy import WindowEntropy
from agentrl.algorithms.timeline import at_last_token, token_rewards

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm

BUCKETS = ("easy", "medium", "hard")
"""Difficulty by the accuracy of the group: at least 2/3, at least 1/3, less."""

Triple = tuple[float, float, float]
"""A number for each bucket."""

_WRONG: Triple = (0.6, 0.8, 1.0)


def buckets(batch: Batch, truth: Truth) -> Tensor:
    """Return the index into `BUCKETS` of each row's group [B]."""
    share_B = truth.accuracy(batch)
    return (share_B < 2 / 3).long() + (share_B < 1 / 3).long()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreShape:
    """Constants of the score, one for each bucket.

    With x = count - target, margin = max(1, margin_share max(target, 1)), cap = alpha cap_share,
    hub(z) = z^2 / 2 kappa up to kappa and z - kappa / 2 beyond, sig(z) = 1 / (1 + e^(-z / temp)):

    right  easy    -min(cap, hub(x - margin) cap / (margin + kappa))
           medium  the same with |x|
           hard    cap sig(x + margin) if x >= -margin,
                   else -min(cap, hub(-x - margin) cap / 2 (margin + kappa))
    wrong          cap sig(max(x - margin, 0)) times 0.6, 0.8, 1

    A wrong episode gets a positive score even without excess, since sig(0) = 1/2.
    """

    margin: Triple = (0.15, 0.25, 0.35)
    kappa: Triple = (2.0, 3.0, 4.0)
    temperature: Triple = (2.0, 2.5, 3.0)
    cap: Triple = (1.0, 1.0, 1.2)

    def __call__(
        self, counts: Tensor, targets: Tensor, alphas: Tensor, bucket: Tensor, right: Tensor
    ) -> Tensor:
        """Return the score, float64, all of one shape.

        Args:
            counts: high-entropy words of the episode.
            targets: wanted number of them.
            alphas: strength.
            bucket: index into `BUCKETS`.
            right: bool, the episode was right.
        """
        margin, kappa, temperature, cap, wrong = (
            torch.tensor(values, dtype=torch.float64, device=counts.device)[bucket]
            for values in (self.margin, self.kappa, self.temperature, self.cap, _WRONG)
        )
        excess = counts.double() - targets
        margin = (margin * targets.clamp(min=1)).clamp(min=1)
        cap = cap * alphas

        def penalty(z: Tensor) -> Tensor:
            z = z.clamp(min=0)
            return torch.where(z <= kappa, z**2 / (2 * kappa), z - kappa / 2) / (margin + kappa)

        over = torch.where(bucket == 1, excess.abs(), excess) - margin
        easy = -torch.minimum(cap, penalty(over) * cap)
        bonus = cap * torch.sigmoid((excess + margin) / temperature)
        hard = -torch.minimum(cap, penalty(-excess - margin) * cap / 2)
        hard = torch.where(excess >= -margin, bonus, hard)
        gain = cap * wrong * torch.sigmoid((excess - margin).clamp(min=0) / temperature)
        return torch.where(right, torch.where(bucket == 2, hard, easy), gain)


def bucket_means(batch: Batch, counts_B: Tensor, bucket_B: Tensor) -> list[float | None]:
    """Return, for each bucket, the mean over its groups of their mean count; None without any."""
    mean_B, first_B = group_statistics(batch, counts_B).mean_B, counted_rows(batch)
    found: list[float | None] = []
    for number in range(len(BUCKETS)):
        groups = batch.groups_B[first_B & (bucket_B == number)].tolist()
        means = dict(zip(groups, mean_B[first_B & (bucket_B == number)].tolist(), strict=True))
        found.append(sum(means.values()) / len(means) if means else None)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyScore:
    """Reward shaping: add the score of an episode's high-entropy words, by the group's difficulty.

    The target of a bucket is the rounded mean over its groups of their mean count.

    Attributes:
        windows: how words are counted.
        threshold: least window entropy that counts, in nats; None takes this batch's own.
        alphas: strength for each bucket.
        by_difficulty: False is the released order: scores come before difficulties are known, so
            all episodes are easy, with target 0 and alpha 0.5.
        shape: constants of the score.
        truth: where it learns which episodes are right.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_ENTROPY})
    needs_truth: ClassVar[bool] = True
    windows: WindowEntropy = field(default_factory=WindowEntropy)
    threshold: float | None = None
    alphas: Triple = (0.5, 0.5, 0.5)
    by_difficulty: bool = True
    shape: ScoreShape = field(default_factory=ScoreShape)
    truth: Truth = field(default_factory=Truth)

    def __post_init__(self) -> None:
        for alpha in self.alphas:
            in_range("alpha", alpha, 0)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` if the reward is self-labelled."""
        self.truth.check(self, algorithm)

    def counts(self, batch: Batch) -> Tensor:
        """Return the high-entropy words of each row's episode [B]."""
        threshold = self.threshold
        if threshold is None:
            threshold = self.windows.threshold(batch)
        return self.windows.counts(batch, torch.inf if threshold is None else threshold)

    def scores(self, batch: Batch) -> Tensor:
        """Return the score of each row's episode [B], float64."""
        counts_B, right_B = self.counts(batch), self.truth.right(batch)
        zeros_B = torch.zeros_like(counts_B)
        if not self.by_difficulty:
            return self.shape(counts_B, zeros_B, zeros_B + 0.5, zeros_B, right_B)
        bucket_B = buckets(batch, self.truth)
        means = bucket_means(batch, counts_B, bucket_B)
        targets = torch.tensor([round(mean or 0.0) for mean in means], dtype=torch.float64)
        alphas = torch.tensor(self.alphas, dtype=torch.float64)
        table = torch.stack([targets, alphas]).to(bucket_B.device)[:, bucket_B]
        return self.shape(counts_B, table[0], table[1], bucket_B, right_B)

    def __call__(self, batch: Batch) -> Batch:
        """Add the score to the return and to the last token's reward."""
        score_B = self.scores(batch).to(batch.returns_B.dtype)
        rewards_BT = token_rewards(batch) + at_last_token(batch, score_B)
        return replace(batch, returns_B=batch.returns_B + score_B, rewards_BT=rewards_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanRewardBand:
    """Group filter: keep groups whose mean return, after shaping, lies strictly within bounds.

    Attributes:
        low: lower bound.
        high: upper bound.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    low: float = 0.01
    high: float = 0.99

    def __post_init__(self) -> None:
        in_range("reward_low", self.low, high=self.high)

    def __call__(self, batch: Batch) -> Batch:
        """Mask the dropped groups."""
        mean_B = group_statistics(batch, batch.returns_B).mean_B
        return batch.keep((mean_B > self.low) & (mean_B < self.high))
