"""Importance ratios of the current to the old policy, [B, T].

l and l_old are log-probs, d = l - l_old, m the mask, n_i the valid tokens of row i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat

LOG_RATIO_LIMIT = 20.0
"""|d| is clamped to this before `exp`; e^20 is far outside every clip range."""

_POLICIES = frozenset({Stat.LOGPROBS, Stat.OLD_LOGPROBS})


def log_ratio(batch: Batch) -> Tensor:
    """Return d = l - l_old [B, T], clamped to +-20; 0 where both are, at masked positions."""
    delta_BT = batch.stat(Stat.LOGPROBS) - batch.stat(Stat.OLD_LOGPROBS)
    return delta_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


@dataclass(frozen=True, slots=True)
class TokenRatio:
    """`exp d`, each token by itself (PPO, GRPO)."""

    requires: ClassVar[frozenset[Stat]] = _POLICIES
    has_gradient: ClassVar[bool] = True

    def __call__(self, batch: Batch) -> Tensor:
        """Return the ratio [B, T]."""
        return log_ratio(batch).exp()


@dataclass(frozen=True, slots=True)
class SequenceRatio:
    """Geometric mean over the row, s_i = exp(sum m d / n_i) (GSPO).

    Attributes:
        per_token: True gives every token the value s_i but only its own gradient, s_i dl_t (the
            "GSPO-token" form of the paper and of verl-project/verl, log ratio capped at 10);
            False differentiates s_i itself (huggingface/trl, inclusionAI/AReaL).  With one
            advantage per row and a row mean both have the same gradient in the weights.
    """

    requires: ClassVar[frozenset[Stat]] = _POLICIES
    has_gradient: ClassVar[bool] = True
    per_token: bool = True

    def __call__(self, batch: Batch) -> Tensor:
        """Return the ratio [B, T]."""
        valid_BT = batch.valid_BT
        logprobs_BT, old_BT = batch.stat(Stat.LOGPROBS), batch.stat(Stat.OLD_LOGPROBS)
        mean_B1 = masked.row_mean(logprobs_BT - old_BT, valid_BT).unsqueeze(-1)
        if not self.per_token:
            return masked.fill(
                mean_B1.clamp(max=LOG_RATIO_LIMIT).exp().expand_as(old_BT), valid_BT, 1.0
            )
        log_BT = logprobs_BT - logprobs_BT.detach() + mean_B1.detach()
        return masked.fill(log_BT.clamp(max=10.0).exp(), valid_BT, 1.0)


@dataclass(frozen=True, slots=True)
class UnitRatio:
    """1 everywhere: the policy that sampled is the policy that learns (REINFORCE)."""

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.LOGPROBS})
    has_gradient: ClassVar[bool] = False

    def __call__(self, batch: Batch) -> Tensor:
        """Return ones [B, T]."""
        return torch.ones_like(batch.stat(Stat.LOGPROBS).detach())
