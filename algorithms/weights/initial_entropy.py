"""GTPO's rule for its entropy filter: off for good where the first policy was uncertain already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.episodes import group_statistics
from agentrl.algorithms.statistics import Statistic
from agentrl.algorithms.transforms.semantic import episode_mean
from agentrl.algorithms.weights.conflicts import EntropyFilter
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True)
class InitialEntropy:
    """Controller: switches `EntropyFilter` off if the first rollout's entropy is above its limit.

    The entropy is the mean over episodes of the mean over their tokens.

    Source: README of winstonsmith1897/GTPO.
    """

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` without a filter to switch."""
        if not any(isinstance(step, EntropyFilter) for step in algorithm.transforms):
            raise ConfigError(
                "`controllers` holds InitialEntropy, but `transforms` has no EntropyFilter for it "
                "to switch; add one or leave the controller out."
            )

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin without a measurement."""
        return _InitialEntropy()


@dataclass(slots=True)
class _InitialEntropy(Controller):
    entropy: float | None = field(default=None)

    @property
    def requires(self) -> frozenset[Statistic]:
        return frozenset({Stat.OLD_ENTROPY}) if self.entropy is None else frozenset()

    def see(self, batch: Batch) -> None:
        if self.entropy is not None or not batch.valid_BT.any():
            return
        means_B = episode_mean(batch, batch.stat(Stat.OLD_ENTROPY))
        everyone = replace(batch, groups_B=batch.groups_B * 0)
        self.entropy = float(group_statistics(everyone, means_B).mean_B[0])

    def apply(self, algorithm: Algorithm) -> Algorithm:
        if self.entropy is None:
            return algorithm
        steps = tuple(
            replace(step, active=self.entropy <= step.threshold)
            if isinstance(step, EntropyFilter)
            else step
            for step in algorithm.transforms
        )
        return replace(algorithm, transforms=steps)

    def state_dict(self) -> dict[str, Any]:
        return {"entropy": self.entropy}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.entropy = state["entropy"]
