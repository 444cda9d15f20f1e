"""Transforms that weigh or shift advantages by how likely the policy found its own episodes.

Each multiplies or adds one number per episode; statistics count each episode once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import (
    counted_rows,
    episode_index,
    episode_sum,
    group_statistics,
    group_sum,
)
from agentrl.algorithms.timeline import timeline
from agentrl.algorithms.transforms.group_weights import scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceShift:
    """Transform: `A_i + alpha (c_q - c_i)`, so that sure answers earn less (ProGRPO's ARM).

    c is exp of the mean log-prob of the `share` least likely tokens, at least one: c_q over the
    first prompt, c_i over the tokens the policy sampled in the episode, both under the old policy.

    Source: ProGRPO (arXiv 2602.05281), as two independent summaries give it.  They disagree on
    when nothing is added: `all_wrong`, every return of the group is 0, or `all_same`.  Under
    `all_wrong` a group that is all right still learns to even out its confidences.

    Attributes:
        alpha: size of the shift; the paper's value is not known.
        share: rho, share of tokens.
        skip: `all_wrong` or `all_same`.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_LOGPROBS})
    reads_prompt_logprobs: ClassVar[bool] = True
    alpha: float = 0.3
    share: float = 0.2
    skip: str = "all_wrong"

    def __post_init__(self) -> None:
        in_range("alpha", self.alpha, 0)
        in_range("share", self.share, 0, 1, open_low=True)
        one_of("skip", self.skip, ("all_wrong", "all_same"))

    def __call__(self, batch: Batch) -> Batch:
        """Shift the advantages."""
        shift_B = self.alpha * (self.of_prompts(batch) - self.of_episodes(batch))
        counted_B = counted_rows(batch)
        if self.skip == "all_wrong":
            signal_B = (counted_B & (batch.returns_B != 0)).double()
            active_B = group_sum(batch.groups_B, signal_B) > 0
        else:
            active_B = group_statistics(batch, batch.returns_B).std_B > 0
        shift_B = torch.where(active_B, shift_B, 0.0).to(batch.advantages.dtype)
        shifted_BT = batch.advantages + shift_B.unsqueeze(-1)
        return replace(batch, advantages_BT=masked.fill(shifted_BT, batch.valid_BT))

    def of_prompts(self, batch: Batch) -> Tensor:
        """Return c_q of each row's prompt [B], float64; that of an empty prompt is 1."""
        prompt_BP: Tensor = batch.need("prompt_logprobs_BP")
        return lowest_mean(prompt_BP.double(), ~prompt_BP.isnan(), self.share).exp()

    def of_episodes(self, batch: Batch) -> Tensor:
        """Return c_i of each row's episode [B], float64."""
        line = timeline(batch)
        low_E = lowest_mean(
            line.gather(batch.stat(Stat.OLD_LOGPROBS).double()), line.present_EL, self.share
        )
        index_B, _ = episode_index(batch)
        return low_E[index_B].exp()


def lowest_mean(values_RL: Tensor, valid_RL: Tensor, share: float) -> Tensor:
    """Return the mean of each row's ceil(share n) smallest of n valid values [R]; 0 for none."""
    count_R = valid_RL.sum(-1)
    keep_R = torch.ceil(share * count_R.double() - 1e-9).clamp(min=1)
    sorted_RL = masked.fill(values_RL, valid_RL, math.inf).sort(-1).values
    place_L = torch.arange(values_RL.shape[-1], device=values_RL.device)
    chosen_RL = (place_L < keep_R.unsqueeze(-1)) & (place_L < count_R.unsqueeze(-1))
    return masked.row_mean(sorted_RL, chosen_RL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityWeight:
    """Transform: `A_i clip(1 - alpha z_i, low, high)`, z_i the group's z-score of the NLL.

    The NLL is the mean of -l_old over the tokens of the episode.  Mean and population deviation
    leave out values beyond 1.5 interquartile ranges (linear quantiles); z is known for all.

    Source: Decomposing the Entropy-Performance Exchange (arXiv 2508.02260);
    RUCAIBox/Slow_Thinking_with_LLMs:entropy2performance.  The released loss computes this weight
    and never multiplies by it; this is the paper's form, with the code's clip.

    Attributes:
        alpha: strength.
        low: smallest weight.
        high: largest weight.
        favour: `low` perplexity, or `high`, which turns the sign of z (the paper's contrast).
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_LOGPROBS})
    alpha: float = 0.01
    low: float = 0.8
    high: float = 1.2
    favour: str = "low"

    def __post_init__(self) -> None:
        in_range("alpha", self.alpha, 0)
        in_range("low", self.low, 0, 1)
        in_range("high", self.high, 1)
        one_of("favour", self.favour, ("low", "high"))

    def __call__(self, batch: Batch) -> Batch:
        """Weigh the advantages."""
        return scaled(batch, self.weights(batch))

    def weights(self, batch: Batch) -> Tensor:
        """Return the weight of each row's episode [B], float64."""
        score_B, _ = perplexity_scores(batch)
        sign = -1.0 if self.favour == "low" else 1.0
        return (1 + sign * self.alpha * score_B).clamp(self.low, self.high)


def mean_nll(batch: Batch) -> Tensor:
    """Return the mean of -l_old over the tokens of each row's episode [B], float64."""
    sums_B = masked.row_sum(-batch.stat(Stat.OLD_LOGPROBS).double(), batch.valid_BT)
    tokens_B = batch.valid_BT.sum(-1).double()
    return episode_sum(batch, sums_B) / episode_sum(batch, tokens_B).clamp(min=1)


def perplexity_scores(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return (z-score of the NLL in its group, bool: no outlier), each [B]."""
    nll_B, counted_B = mean_nll(batch), counted_rows(batch)
    score_B, inlier_B = torch.zeros_like(nll_B), torch.ones_like(counted_B)
    for group in torch.unique(batch.groups_B[counted_B]):
        member_B = batch.groups_B == group
        values = nll_B[member_B & counted_B]
        edges = values.new_tensor([0.25, 0.75])
        first, third = torch.quantile(values, edges).unbind()
        reach = 1.5 * (third - first)
        inside_B = (nll_B >= first - reach) & (nll_B <= third + reach)
        kept = nll_B[member_B & counted_B & inside_B]
        std = kept.std(correction=0)
        std = torch.where(std <= 1e-6, 1.0, std)
        score_B = torch.where(member_B, (nll_B - kept.mean()) / std, score_B)
        inlier_B = torch.where(member_B, inside_B, inlier_B)
    return score_B, inlier_B
