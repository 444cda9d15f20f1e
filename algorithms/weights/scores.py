"""Numbers per token that selectors and token weights go by.

A score is a statistic of the model, or a value with `requires` that computes one from a `View`.
Those with a mean over tokens take it over the rows of the view they are called with, so they are
read where the view holds the whole optimiser batch: in `prepare`.  None carries a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.slots import View
from agentrl.algorithms.statistics import LogitStatistic, Stat, Statistic


class Score(Protocol):
    """A number per token computed from what the loss sees."""

    @property
    def requires(self) -> frozenset[Statistic]:
        """Statistics it reads."""
        ...

    def __call__(self, view: View) -> Tensor:
        """Return it [B, T]; anything at masked positions."""
        ...


Source = Statistic | Score


def needs(source: Source) -> frozenset[Statistic]:
    """Return the statistics that must be there to read `source`."""
    return frozenset({source}) if isinstance(source, (Stat, LogitStatistic)) else source.requires


def read(view: View, source: Source) -> Tensor:
    """Return the statistic or score [B, T], without gradient."""
    if isinstance(source, (Stat, LogitStatistic)):
        return view.stat(source).detach()
    return source(view).detach()


@dataclass(frozen=True, slots=True)
class Covariance:
    """`(A - mean A) (l - mean l)`, means over the valid tokens of the view.

    Large where a token is both likely and rewarded: what lowers the entropy.

    Source: The Entropy Mechanism (arXiv 2505.22617), eq. 10;
    verl-project/verl:verl/trainer/ppo/core_algos.py, `compute_policy_loss_clip_cov`.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset({Stat.LOGPROBS})

    def __call__(self, view: View) -> Tensor:
        """Return the covariance of each token [B, T]."""
        logprobs_BT, valid_BT = view.stat(Stat.LOGPROBS).detach(), view.valid_BT
        centred_BT = logprobs_BT - masked.mean(logprobs_BT, valid_BT)
        return (view.advantages_BT - masked.mean(view.advantages_BT, valid_BT)) * centred_BT


@dataclass(frozen=True, slots=True)
class EntropyInfluence:
    """`|A / p_old p (1 - p) (ln p + H)|`: how much a step on this token changes the entropy.

    p is the probability under the current weights, clamped to [1e-8, 1 - 1e-8]; p_old and the
    entropy H (nats) are those at the start of the update.

    Source: STEER, zz-haooo/STEER:verl/trainer/ppo/core_algos.py,
    `compute_policy_loss_with_entropy`.  Names in that code suggest (1 - p)^2; what it computes,
    and this, is p (1 - p).
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset(
        {Stat.LOGPROBS, Stat.OLD_LOGPROBS, Stat.OLD_ENTROPY}
    )

    def __call__(self, view: View) -> Tensor:
        """Return the influence of each token [B, T]."""
        chance_BT = view.stat(Stat.LOGPROBS).detach().exp().clamp(1e-8, 1 - 1e-8)
        old_BT = view.stat(Stat.OLD_LOGPROBS).exp().clamp(1e-8, 1.0)
        spread_BT = chance_BT * (1 - chance_BT) * (chance_BT.log() + view.stat(Stat.OLD_ENTROPY))
        return torch.abs(view.advantages_BT / old_BT * spread_BT)
