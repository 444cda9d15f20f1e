"""An entropy bonus that is switched on when entropy falls, and grows while it stays low."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.regularisers.standard import EntropyBonus
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveEntropy:
    """Controller: steers the weight of `EntropyBonus` so that entropy stays above a target.

    After each update c <- clip(c + delta, least, most) if the mean entropy of its tokens was at
    most the target, else clip(c - delta, ...).  The bonus of an update is c if the entropy of the
    one before was at most the target, else 0; before the first it counts as 0.

    Source: Skywork-OR1, section on adaptive entropy control; huggingface/trl, `GRPOTrainer` with
    `use_adaptive_entropy`.  Both step after each optimiser step, this one after each update; they
    agree with one optimiser step per update.

    Attributes:
        target: in nats per token.
        delta: step of the coefficient.
        least: lower end of its range.
        most: upper end.
    """

    target: float = 0.2
    delta: float = 0.005
    least: float = 0.0
    most: float = 1.0

    def __post_init__(self) -> None:
        in_range("entropy_target", self.target, 0)
        in_range("entropy_delta", self.delta, 0)
        in_range("entropy_least", self.least, 0)
        in_range("entropy_most", self.most, self.least)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` without an entropy bonus to steer."""
        if not any(isinstance(term, EntropyBonus) for term in algorithm.regularisers):
            raise ConfigError(
                "`controllers` steers the entropy bonus, but `regularisers` has none; add "
                "EntropyBonus (its weight is where the coefficient starts)."
            )

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin with the bonus's own weight."""
        terms = (term for term in algorithm.regularisers if isinstance(term, EntropyBonus))
        return _AdaptiveEntropy(self, next(terms).weight)


@dataclass(slots=True)
class _AdaptiveEntropy(Controller):
    settings: AdaptiveEntropy
    coefficient: float
    entropy: float = 0.0

    @property
    def low(self) -> bool:
        return self.entropy <= self.settings.target

    def apply(self, algorithm: Algorithm) -> Algorithm:
        weight = self.coefficient if self.low else 0.0
        terms = tuple(
            replace(term, weight=weight) if isinstance(term, EntropyBonus) else term
            for term in algorithm.regularisers
        )
        return replace(algorithm, regularisers=terms)

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        if "entropy" not in report:  # nothing was trained
            return
        self.entropy = report["entropy"]
        moved = self.coefficient + (self.settings.delta if self.low else -self.settings.delta)
        self.coefficient = min(max(moved, self.settings.least), self.settings.most)

    def state_dict(self) -> dict[str, Any]:
        return {"coefficient": self.coefficient, "entropy": self.entropy}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.coefficient = float(state["coefficient"])
        self.entropy = float(state["entropy"])
