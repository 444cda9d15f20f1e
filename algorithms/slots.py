"""The seams: what each slot of an `Algorithm` is called with and what it returns.

Slots are small frozen dataclasses; a function object of one's own works as well.  Each lists in
`requires` the statistics it reads.  Slots before the loss map a batch to a batch; slots inside the
loss read a `View`.  Only surrogates and regularisers see gradients: weights, bounds and
transformed advantages are detached where they are used.

A slot that needs statistics of the whole optimiser batch (a mean, a quantile) also has
`prepare(batch) -> state`; see `agentrl.algorithms.loss.prepare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Normaliser, Stat


class Bounds(NamedTuple):
    """Lower and upper bound of the ratio, each a scalar or [B, T] tensor without gradient."""

    low: Tensor
    high: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the slots inside the loss see of one micro-batch.

    Attributes:
        batch: the rows; every statistic is 0 at masked positions.
        valid_BT: the mask as bool.
        advantages_BT: after all transforms, 0 at masked positions.
        ratio_BT: importance ratio, with gradient where its kind has one.
        bounds: of the ratio.
        normaliser: counts of the whole optimiser batch.
        generator: source of randomness for slots that draw; None means torch's global one.
        prepared: what `prepare` returned, by slot.
    """

    batch: Batch
    valid_BT: Tensor
    advantages_BT: Tensor
    ratio_BT: Tensor
    bounds: Bounds
    normaliser: Normaliser
    generator: torch.Generator | None = None
    prepared: Mapping[object, Any] = field(default_factory=dict)

    def stat(self, name: Stat) -> Tensor:
        """Return a statistic [B, T]; raises `StatisticMissing` where it was not computed."""
        return self.batch.stat(name)


class Slot(Protocol):
    """What all slots have in common."""

    @property
    def requires(self) -> frozenset[Stat]:
        """Statistics the slot reads."""
        ...


class BatchStep(Slot, Protocol):
    """Reward shaping, group filter, advantage, transform or sample filter: batch to batch."""

    def __call__(self, batch: Batch) -> Batch:
        """Return a changed copy of the whole update batch."""
        ...


class Ratio(Slot, Protocol):
    """Importance ratio of the current to the old policy; statistics are 0 at masked positions."""

    @property
    def has_gradient(self) -> bool:
        """False if the ratio is a constant, so that a surrogate cannot learn through it."""
        ...

    def __call__(self, batch: Batch) -> Tensor:
        """Return the ratio [B, T]; 1 at masked positions."""
        ...


class BoundsRule(Slot, Protocol):
    """How far the ratio may move."""

    def __call__(self, batch: Batch, ratio_BT: Tensor) -> Bounds:
        """Return the bounds for this micro-batch; `ratio_BT` is detached."""
        ...


class LateTransform(Slot, Protocol):
    """An advantage transform that reads ratio or bounds."""

    def __call__(self, view: View) -> Tensor:
        """Return new advantages [B, T]."""
        ...


class Surrogate(Slot, Protocol):
    """The per-token loss before aggregation."""

    @property
    def needs_ratio_gradient(self) -> bool:
        """True if the gradient flows through the ratio."""
        ...

    @property
    def dual_clip(self) -> float | None:
        """Cap of the ratio for negative advantages, if any (for metrics)."""
        ...

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]; a method with one loss per row repeats it along the row."""
        ...


class Weight(Slot, Protocol):
    """A token weight or a behaviour weight: multiplies the loss, never the normaliser."""

    def __call__(self, view: View) -> Tensor:
        """Return weights >= 0 [B, T]; they are detached by the caller."""
        ...


class Regulariser(Slot, Protocol):
    """A term added to the loss: coefficient times the aggregated per-token value."""

    @property
    def name(self) -> str:
        """Key of its metrics."""
        ...

    @property
    def coefficient(self) -> float:
        """Factor of the aggregated value in the loss."""
        ...

    @property
    def aggregation(self) -> Aggregate | None:
        """Its own aggregation; None uses the algorithm's."""
        ...

    def __call__(self, view: View) -> Tensor:
        """Return values [B, T] with gradient."""
        ...


class Aggregate(Protocol):
    """Per-token values to a scalar."""

    def __call__(self, values_BT: Tensor, valid_BT: Tensor, normaliser: Normaliser) -> Tensor:
        """Return this micro-batch's share of the whole batch's value."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A slot that reads statistics of the whole optimiser batch."""

    def prepare(self, batch: Batch) -> Any:
        """Return them; called without gradient on the whole batch."""
        ...
