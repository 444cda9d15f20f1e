"""Correction for the gap between the engine that sampled and the learner's old policy.

w = pi_old / pi_rollout for a token, from x = l_old - l_rollout; sequence level multiplies w over
the row's valid tokens.  Weights multiply the loss after clipping, carry no gradient and never
change the normaliser.  Bounds are always bounds of w itself.

    truncate  min(w, cap)                   TIS
    mask      w inside [floor, cap] else 0  IcePop (token), MIS (sequence)

Where nothing can be said, w = 1: a log-prob that is no number (as in TRL), and rows that were
sampled at another temperature on purpose, which weights would undo.

Source: verl-project/verl:verl/trainer/ppo/rollout_corr_helper.py; huggingface/trl has the same
four members, inclusionAI/AReaL uses the row's geometric mean at sequence level (`level="mean"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.ratios.kinds import LOG_RATIO_LIMIT
from agentrl.algorithms.slots import View
from agentrl.algorithms.statistics import Statistic
from agentrl.errors import ConfigError

MISMATCH = frozenset({Stat.OLD_LOGPROBS, Stat.ROLLOUT_LOGPROBS})


def sampled_as_trained(batch: Batch) -> Tensor:
    """Return bool [B, 1]: False for rows sampled at another temperature on purpose."""
    if batch.sources_B is None:
        return torch.ones_like(batch.valid_BT[:, :1])
    return (batch.sources_B == 0).unsqueeze(-1)


def mismatch(batch: Batch) -> Tensor:
    """Return x = l_old - l_rollout [B, T], 0 where masked, no number, or other on purpose.

    Infinite values become +-`LOG_RATIO_LIMIT`, so that sums over a row stay numbers.
    """
    delta_BT = (batch.stat(Stat.OLD_LOGPROBS) - batch.stat(Stat.ROLLOUT_LOGPROBS)).detach()
    delta_BT = delta_BT.nan_to_num(0.0, posinf=LOG_RATIO_LIMIT, neginf=-LOG_RATIO_LIMIT)
    return masked.fill(delta_BT, batch.valid_BT & sampled_as_trained(batch))


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourWeight:
    """Truncated or masked importance weights.

    Attributes:
        level: `token`, `sequence` (product over the row) or `mean` (geometric mean of the row).
        action: `truncate` or `mask`.
        cap: upper bound of w; verl's default 2, TRL 3, typical 1.5 to 5 (token), 2 to 10
            (sequence).
        floor: lower bound of w; with `truncate` weights are raised to it.
        normalise: divide by the mean weight of the optimiser batch, after truncation (over tokens
            at token level, over rows otherwise).
    """

    requires: ClassVar[frozenset[Stat]] = MISMATCH
    level: str = "token"
    action: str = "truncate"
    cap: float = 2.0
    floor: float = 0.0
    normalise: bool = False

    def __post_init__(self) -> None:
        one_of("behaviour.level", self.level, ("token", "sequence", "mean"))
        one_of("behaviour.action", self.action, ("truncate", "mask"))
        in_range("behaviour.cap", self.cap, 0, open_low=True)
        in_range("behaviour.floor", self.floor, 0)
        if self.floor >= self.cap:
            raise ConfigError(
                f"`behaviour.floor` {self.floor} must be below `behaviour.cap` {self.cap}."
            )

    def weights(self, batch: Batch) -> Tensor:
        """Return the weights [B, T] before self-normalisation, 0 at masked positions."""
        valid_BT, log_BT = batch.valid_BT, mismatch(batch)
        if self.level != "token":
            reduce = masked.row_sum if self.level == "sequence" else masked.row_mean
            log_BT = reduce(log_BT, valid_BT).unsqueeze(-1).expand_as(log_BT)
        weight_BT = log_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
        if self.action == "truncate":
            weight_BT = weight_BT.clamp(self.floor, self.cap)
        else:
            inside_BT = (weight_BT >= self.floor) & (weight_BT <= self.cap)
            weight_BT = masked.fill(weight_BT, inside_BT)
        return masked.fill(weight_BT, valid_BT)

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """Nothing, unless weights are normalised."""
        return MISMATCH if self.normalise else frozenset()

    def prepare(self, view: View) -> Tensor:
        """Return the mean weight of the optimiser batch, a scalar."""
        return self.average(view.batch)

    def average(self, batch: Batch) -> Tensor:
        """Return the mean weight, over tokens or over rows, a scalar."""
        weight_BT, valid_BT = self.weights(batch), batch.valid_BT
        if self.level == "token":
            return masked.mean(weight_BT, valid_BT)
        return masked.row_mean(weight_BT.amax(-1), valid_BT.any(-1))

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T]."""
        weight_BT = self.weights(view.batch)
        if not self.normalise:
            return weight_BT
        average = view.state(self)
        return weight_BT / torch.where(average > 0, average, torch.ones_like(average))
