"""Advantages scaled by how uncertain the group or the episode was (SEED-GRPO, ETTRL)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import episode_sum, group_statistics
from agentrl.algorithms.rewards.answers import AnswerClusters
from agentrl.algorithms.rewards.clusters import Clusters

FORMS = ("linear", "exp", "reciprocal")
"""Decreasing functions of x: max(0, 1 - x), e^-x and 1 / (1 + x)."""


def decreasing(x: Tensor, form: str) -> Tensor:
    """Return the factor in [0, 1] for x >= 0, any shape; 1 at x = 0."""
    one_of("form", form, FORMS)
    if form == "linear":
        return (1 - x).clamp(min=0)
    return (-x).exp() if form == "exp" else 1 / (1 + x)


def episode_mean(batch: Batch, values_BT: Tensor) -> Tensor:
    """Return the mean over the valid tokens of each row's episode [B], float64; 0 without any."""
    tokens_B = episode_sum(batch, batch.valid_BT.sum(-1)).clamp(min=1)
    return episode_sum(batch, masked.row_sum(values_BT.double(), batch.valid_BT)) / tokens_B


def scale_advantages(batch: Batch, factor_B: Tensor) -> Batch:
    """Return the batch with its advantages times one factor per row."""
    factor = factor_B.unsqueeze(-1).to(batch.advantages.dtype)
    return replace(batch, advantages_BT=masked.fill(batch.advantages * factor, batch.valid_BT))


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticEntropyScale:
    """Transform: learn less from prompts whose answers scatter, `A <- A f(alpha SE / ln G)`.

    `discrete` is -sum_c p ln p with p the share of answers in cluster c, at most ln G.
    `likelihood` is -1/K sum_k ln p(C_k) over K clusters, p(C) the sum over its episodes of the
    softmax, over the group, of log-probs per token.  Raw sequence probabilities would underflow.

    Source: SEED-GRPO (arXiv 2505.12346).  alpha and f were not published: reconstructed.

    Attributes:
        clusters: how answers are read and compared.
        form: f, one of `FORMS`.
        alpha: strength, >= 0.
        entropy: `discrete` or `likelihood`.
    """

    clusters: AnswerClusters = field(default_factory=AnswerClusters)
    form: str = "linear"
    alpha: float = 0.5
    entropy: str = "discrete"

    def __post_init__(self) -> None:
        one_of("form", self.form, FORMS)
        one_of("semantic_entropy", self.entropy, ("discrete", "likelihood"))
        in_range("alpha", self.alpha, 0)

    @property
    def requires(self) -> frozenset[Stat]:
        """The old log-probs, where likelihoods are read."""
        likely = self.entropy == "likelihood"
        return frozenset({Stat.OLD_LOGPROBS}) if likely else frozenset()

    def factor(self, found: Clusters, entropy_B: Tensor) -> Tensor:
        """Return f [B] for the semantic entropy of each row's group; 1 for a lone episode."""
        most_B = found.count_B.clamp(min=1).log()
        x_B = torch.where(most_B > 0, self.alpha * entropy_B / most_B.clamp(min=1e-12), 0.0)
        return decreasing(x_B, self.form)

    def __call__(self, batch: Batch) -> Batch:
        """Scale the advantages."""
        found = self.clusters(batch)
        if self.entropy == "discrete":
            return scale_advantages(batch, self.factor(found, found.entropy()))
        scores_B = episode_mean(batch, batch.stat(Stat.OLD_LOGPROBS))
        return scale_advantages(batch, self.factor(found, likelihood_entropy(found, scores_B)))


def likelihood_entropy(found: Clusters, scores_B: Tensor) -> Tensor:
    """Return -1/K sum_k ln p(C_k) of each row's group [B], float64.

    Args:
        found: the clusters, K of them in a group.
        scores_B: log-prob per token of each row's episode.
    """
    counted_B = found.counted_B
    mean_B = found.sum(scores_B.double()) / found.count_B.clamp(min=1)
    shares_B = torch.where(counted_B, scores_B.double() - mean_B, 0.0).exp()
    shares_B = shares_B / found.sum(shares_B).clamp(min=1e-300)
    logs_B = torch.where(counted_B, found.within(shares_B), 1.0).clamp(min=1e-300).log()
    each_B = 1 / found.size_B.clamp(min=1)
    return found.sum(-logs_B * each_B) / found.sum(each_B).clamp(min=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyReshaping:
    """Transform: larger advantages for episodes the policy was surer of (ETTRL's EAR).

    `res` is `A_i <- max(0, 1 + (Hbar - H_i) / Hbar) A_i`, H_i the mean token entropy of episode i
    and Hbar the mean of H over its group; the factor is 1 where Hbar is 0.
    `clip` is `A_i <- clip(A_i, -beta, beta)`.

    Source: ETTRL (arXiv 2508.11356).  The factor would be negative for H_i > 2 Hbar; the clamp is
    ours.

    Attributes:
        kind: `res` or `clip`.
        beta: bound of `clip`.
    """

    kind: str = "res"
    beta: float = 2.0

    def __post_init__(self) -> None:
        one_of("reshape", self.kind, ("res", "clip"))
        in_range("beta", self.beta, 0, open_low=True)

    @property
    def requires(self) -> frozenset[Stat]:
        """The entropy of the old policy, for `res`."""
        return frozenset({Stat.OLD_ENTROPY}) if self.kind == "res" else frozenset()

    def factor(self, batch: Batch) -> Tensor:
        """Return the factor of `res` [B], float64."""
        entropy_B = episode_mean(batch, batch.stat(Stat.OLD_ENTROPY))
        mean_B = group_statistics(batch, entropy_B).mean_B
        flat_B = mean_B <= 0
        return torch.where(flat_B, 1.0, 2 - entropy_B / mean_B.masked_fill(flat_B, 1)).clamp(min=0)

    def __call__(self, batch: Batch) -> Batch:
        """Reshape the advantages."""
        if self.kind == "clip":
            return replace(batch, advantages_BT=batch.advantages.clamp(-self.beta, self.beta))
        return scale_advantages(batch, self.factor(batch))
