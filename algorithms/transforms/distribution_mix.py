"""Credit for tokens that a flatter or sharper copy of the old policy prefers (DCPO).

Instead of an entropy bonus, correct episodes also push the policy towards its own tempered copy:
a hotter one while the measured entropy is at most a target, a colder one above it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller, MeasuredEntropy
from agentrl.algorithms.episodes import counted_rows
from agentrl.algorithms.ratios.kinds import LOG_RATIO_LIMIT
from agentrl.algorithms.statistics import Statistic, TemperedLogprobs
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionMix:
    """Transform `A <- (1 - alpha) A + alpha b rho`, rho = pi_old^T / pi_old at the sampled token.

    b is 1 for episodes whose return is above `threshold`, f the share of such episodes.
    a = min(|target - entropy|, cap) / f,  alpha = a / (1 + a); without a correct episode A stays.

    Source: DCPO; 597358816/DCPO:verl/trainer/ray_trainer.py, which fixes the temperatures in code
    and divides by f = 0.  The paper has a REINFORCE term of its own for the tempered policy; the
    code, followed here, folds it into the clipped surrogate through the advantage.

    Attributes:
        target: wanted entropy per token, in nats.
        high: temperature T while entropy is at most the target.
        low: temperature T above it.
        cap: largest distance from the target that counts, in nats.
        threshold: an episode with a larger return is correct.
        entropy: measured in the previous update, in nats; see `EntropyFeedback`.
    """

    target: float = 0.5
    high: float = 1.2
    low: float = 0.8
    cap: float = 0.1
    threshold: float = 0.05
    entropy: float = 0.0

    def __post_init__(self) -> None:
        in_range("entropy_target", self.target, 0)
        in_range("temperature_high", self.high, 1)
        in_range("temperature_low", self.low, 0, 1, open_low=True)
        in_range("alpha_cap", self.cap, 0)
        in_range("score_threshold", self.threshold)

    @property
    def temperature(self) -> float:
        """T of the coming update."""
        return self.high if self.entropy <= self.target else self.low

    @property
    def tempered(self) -> TemperedLogprobs:
        """The log-probs of pi_old^T."""
        return TemperedLogprobs(temperature=self.temperature)

    @property
    def requires(self) -> frozenset[Statistic]:
        """Log-probs under pi_old and its tempered copy."""
        return frozenset({Stat.OLD_LOGPROBS, self.tempered})

    def correct(self, batch: Batch) -> Tensor:
        """Return bool [B]: rows of correct episodes."""
        outcomes_B = batch.returns_B if batch.outcomes_B is None else batch.outcomes_B
        return outcomes_B > self.threshold

    def alpha(self, batch: Batch) -> Tensor:
        """Return the share of the new term, a scalar; 0 where no episode is correct."""
        share = masked.mean(self.correct(batch).double(), counted_rows(batch))
        strength = min(abs(self.target - self.entropy), self.cap) / share
        return torch.where(share > 0, strength / (1 + strength), torch.zeros_like(share))

    def factor(self, batch: Batch) -> Tensor:
        """Return rho [B, T], not clipped (but for |ln rho| <= 20)."""
        delta_BT = batch.stat(self.tempered) - batch.stat(Stat.OLD_LOGPROBS)
        return delta_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()

    def __call__(self, batch: Batch) -> Batch:
        """Mix the advantages."""
        alpha = self.alpha(batch).to(batch.advantages.dtype)
        extra_BT = self.correct(batch).to(alpha.dtype).unsqueeze(-1) * self.factor(batch)
        mixed_BT = (1 - alpha) * batch.advantages + alpha * extra_BT.to(alpha.dtype)
        mixed_BT = torch.where(alpha > 0, mixed_BT, batch.advantages)
        return replace(batch, advantages_BT=masked.fill(mixed_BT, batch.valid_BT))


@dataclass(frozen=True, slots=True)
class EntropyFeedback:
    """Controller: tells `DistributionMix` the mean entropy of the previous update's tokens.

    Before the first update it is 0, as in the released code (which estimates it by the mean of
    -l over trained tokens; ours is the exact entropy, of the same expectation).
    """

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` where nothing reads the entropy."""
        if not any(isinstance(step, DistributionMix) for step in algorithm.transforms):
            raise ConfigError(
                "`controllers` measures entropy for DistributionMix, which is not among "
                "`transforms`; remove EntropyFeedback, or add the transform."
            )

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin with the entropy the transform holds."""
        steps = (step for step in algorithm.transforms if isinstance(step, DistributionMix))
        return _EntropyFeedback(next(steps).entropy)


@dataclass(slots=True)
class _EntropyFeedback(MeasuredEntropy):
    def apply(self, algorithm: Algorithm) -> Algorithm:
        transforms = tuple(
            replace(step, entropy=self.entropy) if isinstance(step, DistributionMix) else step
            for step in algorithm.transforms
        )
        return replace(algorithm, transforms=transforms)
