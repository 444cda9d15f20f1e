"""HAPO's sampler: a higher temperature where entropy is high, a lower one where it is low.

Source: HAPO; starriver030515/HAPO:vllm/v1/sample/sampler.py, `compute_entropy_based_temperature`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.ratios.log_entropy import SIGNS, LogEntropyStatistics, scaled_log_entropy
from agentrl.algorithms.strategies.strategy import Need


@dataclass(frozen=True, slots=True, kw_only=True)
class HapoSampler:
    """T = T_0 (1 + tau clamp(h, -1, 1)), h the scaled log entropy of the next token.

    Attributes:
        tau: largest relative change of the temperature, in [0, 1).
        sign: `intended`, or `official`: the released code's slip, where T is never below T_0.
        epsilon: least entropy that is told apart from 0, and added to the deviation.
    """

    name: ClassVar[str] = "hapo"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEMPERATURE})
    tau: float = 0.05
    sign: str = "intended"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        in_range("temperature_tau", self.tau, 0, 0.99)
        one_of("hapo_sign", self.sign, SIGNS)
        in_range("temperature_epsilon", self.epsilon, 0, open_low=True)

    def temperature(
        self, logits: Tensor, statistics: LogEntropyStatistics | None, base: float = 1.0
    ) -> Tensor:
        """Return the temperature of every distribution, [...] for logits [..., V].

        Args:
            logits: before any temperature; entries may be -inf.
            statistics: of the batch trained on last; None before the first, and T is T_0.
            base: T_0.
        """
        if statistics is None:
            return logits.new_full(logits.shape[:-1], base)
        entropy = torch.special.entr(torch.softmax(logits, dim=-1)).sum(-1).clamp(min=self.epsilon)
        widened = replace(statistics, std=statistics.std + self.epsilon)
        scaled = scaled_log_entropy(entropy, widened, self.sign)
        return base * (1 + self.tau * scaled.clamp(-1, 1))
