"""Losses that read a token's neighbours: the geometric mean of a row, or the tokens before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.ratios.kinds import log_ratio
from agentrl.algorithms.slots import PerRow, View
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.algorithms.timeline import timeline

_POLICIES = frozenset({Stat.LOGPROBS, Stat.OLD_LOGPROBS})


@dataclass(frozen=True, slots=True)
class GeometricMean:
    """`-a exp(mean_t e_t)` for every token of a row, a the row's mean advantage (GMPO).

    e = d where the clip leaves the token a gradient, else the bound's logarithm; d = ln r.  Every
    token carries the loss of its row, so the aggregation must be `seq-mean-token-mean`.

    Source: GMPO (arXiv 2507.20673), eq. 4; verl-project/verl:verl/trainer/ppo/core_algos.py,
    `compute_policy_loss_geo_mean`, which also counts rows without tokens in the mean.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset()
    needs_ratio_gradient: ClassVar[bool] = True
    dual_clip: ClassVar[float | None] = None

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        sign_BT, log_BT = torch.sign(view.advantages_BT), view.ratio_BT.log()
        near_BT = torch.clamp(log_BT, view.bounds.low.log(), view.bounds.high.log())
        used_BT = sign_BT * torch.minimum(sign_BT * log_BT, sign_BT * near_BT)
        count_B = view.valid_BT.sum(-1).to(log_BT.dtype) + masked.COUNT_EPSILON
        ratio_B = torch.exp(masked.row_sum(used_BT, view.valid_BT) / count_B)
        loss_B = -masked.row_mean(view.advantages_BT, view.valid_BT) * ratio_B
        return loss_B.unsqueeze(-1).expand_as(view.advantages_BT)


def log_prefix_minimum(batch: Batch, *, include_current: bool = False) -> Tensor:
    """Return the least log-ratio of the tokens before each token of the episode [B, T], detached.

    Args:
        batch: with current and old log-probs; masked tokens are not seen.
        include_current: the token itself counts too.

    Returns:
        0 for the first token of an episode (unless it counts itself) and at masked positions.
    """
    line = timeline(batch)
    log_EL = line.gather(log_ratio(batch).detach())
    if not log_EL.numel():
        return torch.zeros_like(batch.stat(Stat.LOGPROBS).detach())
    least_EL = torch.cummin(log_EL, -1).values
    if not include_current:
        least_EL = torch.nn.functional.pad(least_EL[:, :-1], (1, 0))
    return line.scatter(least_EL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixMinimum:
    """Weights a token by its ratio times the least ratio before it, mu (MinPRO).

    weight: `-sg(clip(r mu, lo, hi)) A l`.  clip: `max(-A r mu, -A clip(r mu, lo, hi))`, mu
    detached.  mu stands in for the product of all earlier ratios, which is exact but explodes.

    Source: MinPRO; reconstructed from the abstract, with the published definition of mu.

    Attributes:
        form: `weight` or `clip`.
        span: `episode`: mu looks at all earlier turns, in whatever row they are; `row`: only at
            the row, which needs no statistics of other rows.
        include_current: mu also looks at the token itself.
        clip_first: clip r before it is multiplied, instead of the product.
        cap_prefix: mu is at most 1.
    """

    requires: ClassVar[frozenset[Statistic]] = _POLICIES
    dual_clip: ClassVar[float | None] = None
    form: str = "weight"
    span: str = "episode"
    include_current: bool = False
    clip_first: bool = False
    cap_prefix: bool = False

    def __post_init__(self) -> None:
        one_of("form", self.form, ("weight", "clip"))
        one_of("span", self.span, ("episode", "row"))

    @property
    def needs_ratio_gradient(self) -> bool:
        """Only the clipped form learns through the ratio."""
        return self.form == "clip"

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """Both policies, if a prefix may lie in another row."""
        return _POLICIES if self.span == "episode" else frozenset()

    def prepare(self, view: View) -> PerRow:
        """Return ln mu of all rows."""
        least_BT = log_prefix_minimum(view.batch, include_current=self.include_current)
        return PerRow.of(view.batch, least_BT)

    def prefix(self, view: View) -> Tensor:
        """Return mu [B, T]."""
        if self.span == "episode":
            least_BT = view.state(self).rows(view.batch)[:, : view.valid_BT.shape[-1]]
        else:
            alone = replace(view.batch, episodes_B=view.batch.need("index_B"))
            least_BT = log_prefix_minimum(alone, include_current=self.include_current)
        mu_BT: Tensor = least_BT.exp()
        return mu_BT.clamp(max=1.0) if self.cap_prefix else mu_BT

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        low, high = view.bounds
        mu_BT, advantages_BT = self.prefix(view), view.advantages_BT
        ratio_BT = view.ratio_BT
        product_BT = ratio_BT * mu_BT
        clipped_BT = (
            ratio_BT.clamp(low, high) * mu_BT if self.clip_first else product_BT.clamp(low, high)
        )
        if self.form == "weight":
            return -clipped_BT.detach() * advantages_BT * view.stat(Stat.LOGPROBS)
        return torch.maximum(-advantages_BT * product_BT, -advantages_BT * clipped_BT)
