"""Samples drawn at another temperature to push the entropy towards a target (Arbitrary-entropy PO).

A part of a step's tasks is rolled out again at a temperature above or below that of the ordinary
rollouts.  Good episodes among them take the place of ordinary ones, with advantage 1, so that the
policy moves towards a flatter or sharper version of itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller, MeasuredEntropy
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRollouts:
    """Rollout strategy: sample the first tasks of a step again, at another temperature.

    Attributes:
        share: of the step's tasks.
        temperature: factor on the rollout's temperature.
    """

    name: ClassVar[str] = "control rollouts"
    share: float = 0.25
    temperature: float = 1.0

    def __post_init__(self) -> None:
        in_range("control_share", self.share, 0, 1, open_low=True)
        in_range("temperature", self.temperature, 0, open_low=True)

    def for_budget(self, group_size: int | None) -> ControlRollouts:
        """Return the strategy: it works with any number of episodes."""
        return self

    def tasks(self, count: int) -> int:
        """Return how many of `count` tasks are sampled again, at least one."""
        return max(1, int(self.share * count))


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSamples:
    """Transform: control episodes above a threshold replace as many ordinary ones.

    The control episodes with an advantage above `threshold` are candidates; the first `limit` in
    the order of `episodes_B` get advantage 1 at every token, the other control episodes leave the
    mask, and so do as many ordinary episodes as were put in, the first ones.

    Source: 597358816/AEPO:verl/trainer/ray_trainer.py.

    Attributes:
        limit: most control episodes in one update.
        threshold: least advantage of a candidate.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    limit: int = 60
    threshold: float = 0.05

    def __post_init__(self) -> None:
        in_range("control_episodes", self.limit, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Put the control episodes in."""
        if batch.sources_B is None or not (batch.sources_B != 0).any():
            return batch
        live_B, control_B = batch.valid_BT.any(-1), batch.sources_B != 0
        best_B = torch.where(batch.valid_BT, batch.advantages, -math.inf).amax(-1)
        good = _first(batch.episodes_B[control_B & live_B & (best_B > self.threshold)], self.limit)
        out = _first(batch.episodes_B[~control_B & live_B], len(good))
        chosen_B = torch.isin(batch.episodes_B, good)
        stays_B = torch.where(control_B, chosen_B, ~torch.isin(batch.episodes_B, out))
        ones_BT = torch.ones_like(batch.advantages)
        advantages_BT = torch.where(chosen_B.unsqueeze(-1), ones_BT, batch.advantages)
        return replace(batch, advantages_BT=advantages_BT).keep(stays_B)


def _first(episodes: Tensor, count: int) -> Tensor:
    """Return the first `count` different episodes, in order of their numbers."""
    different: Tensor = torch.unique(episodes)
    return different[:count]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyTemperature:
    """Controller: control rollouts at `high` while entropy is at most the target, else at `low`.

    Below the target the whole `limit` of `ControlSamples` is used, above it half of it.  The
    entropy is that of the previous update's trained tokens, 0 before the first.

    Attributes:
        target: wanted entropy per token, in nats.
        high: temperature that flattens.
        low: temperature that sharpens.
    """

    target: float = 0.5
    high: float = 1.2
    low: float = 0.8

    def __post_init__(self) -> None:
        in_range("entropy_target", self.target, 0)
        in_range("temperature_high", self.high, 1)
        in_range("temperature_low", self.low, 0, 1, open_low=True)

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin with an entropy of 0, as the released code does."""
        if not isinstance(algorithm.rollout, ControlRollouts):
            raise ConfigError(
                "`controllers` steers the temperature of control rollouts, but `rollout` is not "
                "ControlRollouts."
            )
        return _EntropyTemperature(settings=self)


@dataclass(slots=True, kw_only=True)
class _EntropyTemperature(MeasuredEntropy):
    settings: EntropyTemperature

    def apply(self, algorithm: Algorithm) -> Algorithm:
        below = self.entropy <= self.settings.target
        strategy: Any = algorithm.rollout
        temperature = self.settings.high if below else self.settings.low
        transforms = tuple(
            replace(step, limit=step.limit if below else step.limit // 2)
            if isinstance(step, ControlSamples)
            else step
            for step in algorithm.transforms
        )
        return replace(
            algorithm, rollout=replace(strategy, temperature=temperature), transforms=transforms
        )
