"""Advantages normalised by a Beta distribution of the groups' success rates (BNPO)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.advantages.group import spread
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import counted_rows, group_statistics
from agentrl.errors import ConfigError

LARGEST_WEIGHT = 1e6
"""Most that a density near 0 may scale an advantage up."""

SMALLEST_VARIANCE = 1e-8
"""Success rates that differ less than this count as equal."""


def beta_shape(rates_G: Tensor) -> tuple[float, float]:
    """Return (alpha, beta) of the normaliser from the success rates of the groups.

    mu and v are mean and unbiased variance of the rates.  Beta(a, b) with these moments has
    kappa = mu (1 - mu) / v - 1, a = kappa mu, b = kappa (1 - mu); the normaliser with the least
    variance is alpha = max(1, 1 + a / 3), beta = max(1, 1 + b / 3).  It is (1, 1) for fewer than
    two groups, equal rates, and where no Beta distribution has these moments.
    """
    if len(rates_G) < 2:
        return 1.0, 1.0
    mu, variance = float(rates_G.mean()), float(rates_G.var())
    if variance < SMALLEST_VARIANCE or mu * (1 - mu) <= variance:
        return 1.0, 1.0
    kappa = mu * (1 - mu) / variance - 1
    return 1 + kappa * mu / 3, 1 + kappa * (1 - mu) / 3


def beta_density(values: Tensor, alpha: float, beta: float) -> Tensor:
    """Return the density of Beta(alpha, beta) at values in [0, 1]."""
    log_norm = math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)
    left = torch.xlogy(torch.full_like(values, alpha - 1), values)
    right = torch.xlogy(torch.full_like(values, beta - 1), 1 - values)
    return (left + right - log_norm).exp()


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaNormalised:
    """`(s - p_g) min(1 / f(p_g; alpha, beta), 1e6)`, f the density of a Beta distribution.

    s = (R - low) / (high - low), p_g its mean over the group, alpha and beta from the p_g of all
    groups of the update (`beta_shape`).  alpha = beta = 1 is REINFORCE with a group baseline;
    alpha = beta = 3/2 is pi/8 times GRPO with the population deviation.  With several components
    the mean of their advantages is taken, each with its own alpha and beta.

    Source: BNPO (arXiv 2506.02864); changyi7231/BNPO:recipe/bnpo/src/bnpo_ray_trainer.py.  That
    code gives NaN for equal p_g and raises where all are 0 or 1; here alpha = beta = 1 then.

    Attributes:
        low: smallest reward.
        high: largest reward.
        components: numbers of the episode to normalise one by one, such as `success`; empty takes
            the return.
        lone: a group with one counted episode: `zero` learns nothing from it and leaves it out of
            alpha and beta; `raw` gives it the mean 0 (released code), and so very large weights.
        shape: fixed alpha and beta, at least 1 each; None computes them.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    low: float = 0.0
    high: float = 1.0
    components: tuple[str, ...] = ()
    lone: str = "zero"
    shape: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        in_range("low", self.low)
        in_range("high", self.high, self.low, open_low=True)
        one_of("lone", self.lone, ("zero", "raw"))
        for value in self.shape or ():
            in_range("shape", value, 1)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages; raises `ConfigError` for a reward outside [low, high]."""
        if not self.components:
            return spread(batch, self._of(batch, "return", batch.returns_B))
        parts = [self._of(batch, name, batch.component(name)) for name in self.components]
        return spread(batch, torch.stack(parts).mean(0))

    def _of(self, batch: Batch, name: str, rewards_B: Tensor) -> Tensor:
        """Return the advantages [B] of one reward, float64."""
        live_B, counted_B = batch.valid_BT.any(-1), counted_rows(batch)
        unit_B = (self._checked(name, rewards_B, live_B) - self.low) / (self.high - self.low)
        group = group_statistics(batch, unit_B)
        lone_B = group.count_B <= 1
        mean_B = torch.where(lone_B, 0.0, group.mean_B)
        counts = counted_B & ~lone_B if self.lone == "zero" else counted_B
        alpha, beta = self.shape or beta_shape(_once_per_group(batch, mean_B, counts))
        weight_B = (1 / beta_density(mean_B, alpha, beta)).clamp(max=LARGEST_WEIGHT)
        advantages_B = (unit_B - mean_B) * weight_B
        return torch.where(lone_B, 0.0, advantages_B) if self.lone == "zero" else advantages_B

    def _checked(self, name: str, rewards_B: Tensor, live_B: Tensor) -> Tensor:
        """Return the rewards in float64, 0 in rows without a valid token."""
        rewards_B = torch.where(live_B, rewards_B.double(), self.low)
        outside_B = (rewards_B < self.low - 1e-6) | (rewards_B > self.high + 1e-6)
        if outside_B.any():
            raise ConfigError(
                f"BNPO maps rewards from [{self.low:g}, {self.high:g}] to [0, 1], but a {name} is "
                f"{float(rewards_B[outside_B][0]):g}; set `low` and `high` to the smallest and "
                "largest reward of the environment, after reward shaping."
            )
        return rewards_B.clamp(self.low, self.high)


def _once_per_group(batch: Batch, values_B: Tensor, counted_B: Tensor) -> Tensor:
    """Return one value for each group that has a counted row [G], in the order of its labels."""
    unique, index_B = torch.unique(batch.groups_B[counted_B], return_inverse=True)
    values_G = values_B.new_zeros(len(unique))
    values_G[index_B] = values_B[counted_B]
    return values_G
