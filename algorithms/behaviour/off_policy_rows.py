"""OPSM: silence rows of negative advantage that the policy has left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.slots import View
from agentrl.algorithms.statistics import Stat, Statistic


@dataclass(frozen=True, slots=True)
class DropOffPolicyRows:
    """Weight 0 on tokens with A < 0 of rows whose `mean_t(l_roll - l)` is above a threshold.

    l are current log-probs, so a row may drop out during an update.  The normaliser stays.

    Source: DeepSeek-V3.2 (off-policy sequence masking), huggingface/trl:trl/trainer/
    grpo_trainer.py, `get_off_policy_mask`.

    Attributes:
        threshold: in nats per token.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset({Stat.LOGPROBS, Stat.ROLLOUT_LOGPROBS})
    threshold: float = 0.5

    def __post_init__(self) -> None:
        in_range("threshold", self.threshold)

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T]."""
        away_BT = view.stat(Stat.ROLLOUT_LOGPROBS) - view.stat(Stat.LOGPROBS).detach()
        away_B1 = masked.row_mean(away_BT, view.valid_BT).unsqueeze(-1)
        dropped_BT = (view.advantages_BT < 0) & (away_B1 > self.threshold)
        return 1 - dropped_BT.to(view.advantages_BT.dtype)
