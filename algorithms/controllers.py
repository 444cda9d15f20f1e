"""What an algorithm changes between updates: coefficients that follow a measurement.

`Algorithm` itself is a constant.  A controller turns it into the algorithm of the next update and
learns from that update; its state goes into checkpoints.

    controllers = start(algorithm)
    each update:  current = apply(controllers, algorithm)
                  see(controllers, batch); current = apply(controllers, algorithm)
                  ...; observe(controllers, report, batch)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.statistics import Statistic
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


class Controller:
    """The running part; holds the state.  Subclasses override what they need."""

    @property
    def requires(self) -> frozenset[Statistic]:
        """Statistics that `see` reads in the coming update, none of them current."""
        return frozenset()

    def apply(self, algorithm: Algorithm) -> Algorithm:
        """Return the algorithm of the update.

        Called before and after `see`; both must require the same statistics.
        """
        return algorithm

    def see(self, batch: Batch) -> None:
        """Look at the rollout that is about to be learned from, before advantages."""

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        """Take note of an update: its metrics (`metrics.report`) and its batch with advantages."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""


@dataclass(slots=True)
class MeasuredEntropy(Controller):
    """Base of controllers that follow the mean entropy of the previous update's tokens.

    Attributes:
        entropy: in nats; kept where an update trained nothing.
    """

    entropy: float = 0.0

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        """Keep the update's entropy."""
        self.entropy = report.get("entropy", self.entropy)

    def state_dict(self) -> dict[str, Any]:
        """Return the entropy."""
        return {"entropy": self.entropy}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the entropy."""
        self.entropy = float(state["entropy"])


class ControllerSettings(Protocol):
    """The frozen part, a member of `Algorithm.controllers`."""

    def start(self, algorithm: Algorithm) -> Controller:
        """Return a fresh controller for `algorithm`."""
        ...


def start(algorithm: Algorithm) -> list[Controller]:
    """Return fresh controllers, one for each of `algorithm.controllers`."""
    return [settings.start(algorithm) for settings in algorithm.controllers]


def apply(controllers: Sequence[Controller], algorithm: Algorithm) -> Algorithm:
    """Return the algorithm of the next update."""
    for controller in controllers:
        algorithm = controller.apply(algorithm)
    return algorithm


def requires(controllers: Sequence[Controller]) -> frozenset[Statistic]:
    """Return the statistics that controllers read in the coming update."""
    return frozenset().union(*(controller.requires for controller in controllers))


def see(controllers: Sequence[Controller], batch: Batch) -> None:
    """Show every controller the rollout that is about to be learned from."""
    for controller in controllers:
        controller.see(batch.clean())


def observe(controllers: Sequence[Controller], report: Mapping[str, float], batch: Batch) -> None:
    """Show an update's metrics and batch to every controller."""
    for controller in controllers:
        controller.observe(report, batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveKL:
    """Keeps the KL to the reference near a target by scaling the coefficient of a KL term.

    coefficient <- coefficient * (1 + clip(KL / target - 1, -0.2, 0.2) * episodes / horizon)

    Source: Ziegler et al., Fine-Tuning Language Models from Human Preferences (arXiv 1909.08593).

    Attributes:
        target: wanted KL per token, in nats.
        horizon: episodes over which a full correction builds up.
        regulariser: name of the term it steers.
    """

    target: float = 0.1
    horizon: float = 10_000
    regulariser: str = "kl_ref"

    def __post_init__(self) -> None:
        in_range("controllers.target", self.target, 0, open_low=True)
        in_range("controllers.horizon", self.horizon, 0, open_low=True)

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin with the algorithm's own coefficient."""
        for term in algorithm.regularisers:
            if term.name == self.regulariser:
                return _AdaptiveKL(self, term.coefficient)
        raise ConfigError(
            f"`controllers` steers the regulariser {self.regulariser!r}, which is not among "
            f"`regularisers` ({', '.join(t.name for t in algorithm.regularisers) or 'none'})."
        )


@dataclass(slots=True)
class _AdaptiveKL(Controller):
    settings: AdaptiveKL
    coefficient: float

    def apply(self, algorithm: Algorithm) -> Algorithm:
        terms: list[Any] = list(algorithm.regularisers)
        for index, term in enumerate(terms):
            if term.name == self.settings.regulariser:
                terms[index] = replace(term, coefficient=self.coefficient)
        return replace(algorithm, regularisers=tuple(terms))

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        episodes = len(torch.unique(batch.episodes_B))
        if self.settings.regulariser not in report:  # nothing was trained: no KL to react to
            return
        error = report[self.settings.regulariser] / self.settings.target - 1
        self.coefficient *= 1 + max(-0.2, min(0.2, error)) * episodes / self.settings.horizon

    def state_dict(self) -> dict[str, Any]:
        return {"coefficient": self.coefficient}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.coefficient = float(state["coefficient"])
