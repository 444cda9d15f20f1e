"""Token-level advantages: credit flows back along the episode's tokens.

Both read rewards per token (`Batch.rewards_BT`, or the return at the episode's last token) and run
along the `Timeline`, so masked tokens neither earn nor decay anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.timeline import timeline, token_rewards


def discounted_sum(values_EL: Tensor, decay: float) -> Tensor:
    """Return S_t = x_t + decay * S_{t+1} along the last axis."""
    result_EL = values_EL.clone()
    for step in range(values_EL.shape[-1] - 2, -1, -1):
        result_EL[:, step] += decay * result_EL[:, step + 1]
    return result_EL


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardToGo:
    """`A_t = sum_{s >= t} gamma^{s - t} r_s` over the episode's tokens (REINFORCE++).

    Source: verl-project/verl:verl/trainer/ppo/core_algos.py,
    `compute_reinforce_plus_plus_outcome_advantage`, before its whitening.  Older releases reset the
    sum at masked tokens, which cuts the credit between turns; this one does not.

    Attributes:
        gamma: discount per token.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    gamma: float = 1.0

    def __post_init__(self) -> None:
        in_range("gamma", self.gamma, 0, 1)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        line = timeline(batch)
        sums_EL = discounted_sum(line.gather(token_rewards(batch)), self.gamma)
        return replace(batch, advantages_BT=line.scatter(sums_EL))


@dataclass(frozen=True, slots=True, kw_only=True)
class GAE:
    """Generalised advantage estimation; also sets `value_targets_BT` = A + V.

    delta_t = r_t + gamma V_{t+1} - V_t,  A_t = sum_{s >= t} (gamma lam)^{s - t} delta_s, with
    V = 0 after the last token, also where a limit cut the episode.

    Source: Schulman et al. (arXiv 1506.02438), eq. 16; masked tokens are skipped as in
    verl-project/verl:verl/trainer/ppo/core_algos.py, `compute_gae_advantage_return`.

    Attributes:
        gamma: discount per token.
        lam: lambda, 1 is the Monte Carlo return, 0 the one-step error.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_VALUES})
    gamma: float = 1.0
    lam: float = 0.95

    def __post_init__(self) -> None:
        in_range("gamma", self.gamma, 0, 1)
        in_range("lam", self.lam, 0, 1)

    def __call__(self, batch: Batch) -> Batch:
        """Set advantages and value targets."""
        line = timeline(batch)
        values_EL = line.gather(batch.stat(Stat.OLD_VALUES).detach())
        next_EL = torch.zeros_like(values_EL)
        next_EL[:, :-1] = values_EL[:, 1:]
        delta_EL = line.gather(token_rewards(batch)) + self.gamma * next_EL - values_EL
        advantages_EL = discounted_sum(delta_EL, self.gamma * self.lam)
        return replace(
            batch,
            advantages_BT=line.scatter(advantages_EL),
            value_targets_BT=line.scatter(advantages_EL + values_EL),
        )


@dataclass(frozen=True, slots=True)
class Whiten:
    """Transform: `(A - mean) / sqrt(var + 1e-8)` over all valid tokens of the update batch.

    var is unbiased (N - 1); a batch of one token becomes 0.  Source: verl-project/verl,
    `masked_whiten`.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()

    def __call__(self, batch: Batch) -> Batch:
        """Whiten the advantages."""
        valid_BT, advantages_BT = batch.valid_BT, batch.advantages
        centred_BT = advantages_BT.double() - masked.mean(advantages_BT.double(), valid_BT)
        count = valid_BT.sum().double()
        unbiased = count / (count - 1).clamp(min=1)
        variance = masked.mean(centred_BT**2, valid_BT) * unbiased
        white_BT = centred_BT * torch.rsqrt(variance + 1e-8)
        white_BT = masked.fill(white_BT, valid_BT).to(advantages_BT.dtype)
        return replace(batch, advantages_BT=white_BT)
