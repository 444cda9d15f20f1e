"""Token weights: factors of the loss by what a token is.  They never change the normaliser."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.slots import View
from agentrl.algorithms.statistics import Statistic
from agentrl.algorithms.weights.rankings import Band, TopFraction
from agentrl.algorithms.weights.scores import Covariance, EntropyInfluence, Source, needs, read
from agentrl.algorithms.weights.selectors import Selector, Unclipped, chosen
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Drop:
    """0 on the tokens a selector chooses, 1 elsewhere.

    Attributes:
        selector: what is dropped.
    """

    selector: Selector

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the selector reads."""
        return self.selector.requires

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """What the selector prepares."""
        return self.selector.prepare_requires

    def prepare(self, view: View) -> Any:
        """Return the selector's state."""
        return self.selector.prepare(view)

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T]."""
        return 1 - chosen(self, self.selector, view).to(view.advantages_BT.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOnly:
    """1 on the tokens a selector chooses, 0 elsewhere.

    Attributes:
        selector: what is kept.
        renormalise: multiply by valid tokens / kept tokens of the optimiser batch, so that a mean
            over tokens becomes the mean over the kept ones.
    """

    selector: Selector = field(default_factory=lambda: TopFraction(Stat.ENTROPY, 0.2))
    renormalise: bool = False

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the selector reads."""
        return self.selector.requires

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """What the selector prepares; counting needs a look at the whole batch too."""
        wanted = self.selector.prepare_requires
        return wanted or (frozenset({Stat.LOGPROBS}) if self.renormalise else frozenset())

    def prepare(self, view: View) -> Any:
        """Return the selector's state and the factor of the kept tokens."""
        state = self.selector.prepare(view)
        kept = self.selector.choose(view, state).sum().to(view.advantages_BT.dtype)
        return state, view.valid_BT.sum() / (kept + masked.COUNT_EPSILON)

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T]."""
        state, factor = view.state(self) if self.prepare_requires else (None, 1.0)
        kept_BT = self.selector.choose(view, state).to(view.advantages_BT.dtype)
        return kept_BT * factor if self.renormalise else kept_BT


@dataclass(frozen=True, slots=True, kw_only=True)
class Decreasing:
    """A weight that falls as a score grows, between the score's extremes in the optimiser batch.

    linear: high - (x - min) (high - low) / (max - min), in [low, high]; (low + high) / 2 where all
    scores are equal.  exp: exp(ln(low) x / max(max, 0.02)), in [low, 1].  Weights are not
    normalised to a mean of 1.

    Source: STEER, zz-haooo/STEER:verl/trainer/ppo/core_algos.py.

    Attributes:
        score: x.
        low: the smallest weight.
        high: the largest (linear only).
        shape: `linear` or `exp`.
    """

    score: Source = field(default_factory=EntropyInfluence)
    low: float = 0.8
    high: float = 1.2
    shape: str = "linear"

    def __post_init__(self) -> None:
        one_of("shape", self.shape, ("linear", "exp"))
        in_range("weight_low", self.low, 0, open_low=True)
        if self.shape == "exp":
            in_range("weight_low", self.low, 0, 1, open_low=True)
        elif self.high < self.low:
            raise ConfigError(
                f"`weight_low` {self.low} must not be above `weight_high` {self.high}."
            )

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the score reads."""
        return needs(self.score)

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """The same: the extremes are those of the whole optimiser batch."""
        return self.requires

    def prepare(self, view: View) -> tuple[Tensor, Tensor]:
        """Return the smallest and the largest score, scalars; 0 for a batch without tokens."""
        values = read(view, self.score)[view.valid_BT]
        if not len(values):
            return view.advantages_BT.new_zeros(()), view.advantages_BT.new_zeros(())
        return values.min(), values.max()

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T]."""
        score_BT = read(view, self.score)
        extremes: tuple[Tensor, Tensor] = view.state(self)
        least, most = extremes
        if self.shape == "exp":
            falling_BT = torch.exp(math.log(self.low) * score_BT / most.clamp(min=0.02))
            return falling_BT.clamp(self.low, 1.0)
        if most <= least:
            return torch.full_like(score_BT, (self.low + self.high) / 2)
        slope = (self.high - self.low) / (most - least)
        return (self.high - (score_BT - least) * slope).clamp(self.low, self.high)


def covariance_band(fraction: float, low: float, high: float, *, order: str = "random") -> Drop:
    """Return Clip-Cov's weight: drop a few unclipped tokens of high covariance.

    Args:
        fraction: of all tokens, at most, that are dropped (at least one).
        low: candidates have a covariance above this.
        high: and below this.
        order: which candidates, see `Band`.
    """
    band = Band(
        score=Covariance(), low=low, high=high, fraction=fraction, order=order, within=Unclipped()
    )
    return Drop(band)
