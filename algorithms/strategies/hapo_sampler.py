"""HAPO's sampler: a higher temperature where entropy is high, a lower one where it is low.

Source: HAPO; starriver030515/HAPO:vllm/v1/sample/sampler.py, `compute_entropy_based_temperature`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.ratios.log_entropy import (
    SIGNS,
    LogEntropyStatistics,
    log_entropy_statistics,
    scaled_log_entropy,
)
from agentrl.algorithms.statistics import Statistic
from agentrl.algorithms.strategies.strategy import Need
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class HapoSampler:
    """T = T_0 (1 + tau clamp(h, -1, 1)), h the scaled log entropy of the next token.

    Attributes:
        tau: largest relative change of the temperature, in [0, 1).
        sign: `intended`, or `official`: the released code's slip, where T is never below T_0.
        epsilon: least entropy that is told apart from 0, and added to the deviation.
        statistics: of the batch trained on last, set by `SamplerStatistics`; None before the first.
    """

    name: ClassVar[str] = "hapo"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEMPERATURE})
    tau: float = 0.05
    sign: str = "intended"
    epsilon: float = 1e-6
    statistics: LogEntropyStatistics | None = None

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

    def __call__(self, logits_RV: Tensor, base: float) -> Tensor:
        """Return the temperatures [R] of an engine's next tokens; `base` is T_0."""
        return self.temperature(logits_RV, self.statistics, base)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerStatistics:
    """Controller: gives `HapoSampler` the entropy statistics of the last update's tokens.

    They are measured by the learner at T_0 before the update, because the engine's entropies are
    those of the temperatures that the sampler itself chose.  An update that trains nothing changes
    nothing.

    Source: starriver030515/HAPO:verl/trainer/ppo/ray_trainer.py, `norm_entropys`.

    Attributes:
        pivot: quantile of ln H at which the temperature is T_0.
    """

    pivot: float = 0.8

    def __post_init__(self) -> None:
        in_range("entropy_pivot", self.pivot, 0, 1)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` without a sampler to steer."""
        if not isinstance(algorithm.rollout, HapoSampler):
            raise ConfigError(
                "`controllers` holds SamplerStatistics, but `rollout` is no HapoSampler for it to "
                "steer; set one or leave the controller out."
            )

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin without statistics."""
        return _SamplerStatistics(self)


@dataclass(slots=True)
class _SamplerStatistics(Controller):
    """Keeps plain numbers, so that a resumed run samples with the same bits."""

    settings: SamplerStatistics
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def requires(self) -> frozenset[Statistic]:
        # With OLD_LOGPROBS the learner computes both; alone, the engine's entropies would do.
        return frozenset({Stat.OLD_ENTROPY, Stat.OLD_LOGPROBS})

    def apply(self, algorithm: Algorithm) -> Algorithm:
        strategy: Any = algorithm.rollout
        if not self.numbers:
            return algorithm
        tensors = {name: torch.tensor(value) for name, value in self.numbers.items()}
        return replace(
            algorithm, rollout=replace(strategy, statistics=LogEntropyStatistics(**tensors))
        )

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        found = log_entropy_statistics(
            batch.stat(Stat.OLD_ENTROPY), batch.valid_BT, self.settings.pivot
        )
        self.numbers = {name: float(getattr(found, name)) for name in found.__slots__}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.numbers)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.numbers = dict(state)
