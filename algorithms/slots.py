"""The seams: what each slot of an `Algorithm` is called with and what it returns.

Slots are small frozen dataclasses; a function object of one's own works as well.  Each lists in
`requires` the statistics it reads.  Slots before the loss map a batch to a batch; slots inside the
loss read a `View`.  Only surrogates and regularisers see gradients: weights, bounds and
transformed advantages are detached where they are used.

A slot that needs statistics of the whole optimiser batch (a mean, a quantile, a random choice)
also has `prepare(view) -> state`, called without gradient on all rows; inside the loss it finds the
state with `view.state(self)`.  See `agentrl.algorithms.loss.prepare`, and `PerRow` for state with
a B axis.

Two optional hooks find impossible combinations before any work: `check(algorithm)` and
`check_run(facts)`; both raise `ConfigError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Normaliser
from agentrl.algorithms.statistics import Statistic

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a slot may check about the run it is to work in.

    Attributes:
        group_size: episodes per task.
        tasks_per_step: tasks of one update.
        updates_per_step: optimiser steps of one update.
        temperature: of the rollouts.
        layers: decoder layers of the model; 0 where they are not known yet.
        steps: updates of the run.
    """

    group_size: int
    tasks_per_step: int
    updates_per_step: int = 1
    temperature: float = 1.0
    layers: int = 0
    steps: int = 0


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
        ratio_BT: importance ratio, with gradient where its kind has one; NaN before it is known.
        bounds: of the ratio; open before they are known.
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

    def stat(self, name: Statistic) -> Tensor:
        """Return a statistic [B, T]; raises `StatisticMissing` where it was not computed."""
        return self.batch.stat(name)

    def state(self, slot: object) -> Any:
        """Return what `slot.prepare` returned for the whole optimiser batch."""
        return self.prepared[slot]


@dataclass(frozen=True, slots=True, eq=False)
class PerRow:
    """A tensor with the axis B of the whole optimiser batch, readable from its micro-batches.

    Attributes:
        order_B: `index_B` of the rows, sorted.
        values: [B, ...] in that order.
    """

    order_B: Tensor
    values: Tensor

    @classmethod
    def of(cls, batch: Batch, values: Tensor) -> PerRow:
        """Keep `values` [B, ...] of the batch's rows."""
        order_B, position_B = torch.sort(batch.need("index_B"))
        return cls(order_B, values[position_B])

    def rows(self, batch: Batch) -> Tensor:
        """Return the values of a micro-batch's rows."""
        return self.values[torch.searchsorted(self.order_B, batch.need("index_B"))]


class Slot(Protocol):
    """What all slots have in common."""

    @property
    def requires(self) -> frozenset[Statistic]:
        """Statistics the slot reads."""
        ...


class BatchStep(Slot, Protocol):
    """Reward, shaping, group filter, advantage, transform or sample filter: batch to batch."""

    def __call__(self, batch: Batch) -> Batch:
        """Return a changed copy of the whole update batch."""
        ...


class PolicyView(Slot, Protocol):
    """Which log-probs the loss takes for those of the policy, current and old."""

    def __call__(self, batch: Batch) -> Batch:
        """Return a copy with other `LOGPROBS` and `OLD_LOGPROBS`."""
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

    def __call__(self, view: View) -> Bounds:
        """Return the bounds for this micro-batch; the view's ratio is detached."""
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

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """Statistics that `prepare` reads; empty if it does not work under these settings."""
        ...

    def prepare(self, view: View) -> Any:
        """Return them; called without gradient, with all that slots before this one gave.

        Ratio, bounds and late transforms are known only if `prepare_requires` of some slot holds
        `LOGPROBS`; those that need them list it.
        """
        ...


class RolloutStrategy(Protocol):
    """How the episodes of a group are produced; a frozen value that the trainer carries out."""

    @property
    def name(self) -> str:
        """Its name in messages."""
        ...


class PromptStrategy(Protocol):
    """How the first prompt of an episode is varied; a frozen value that the trainer carries out."""

    def system(self, text: str, *, seed: int, epoch: int, task_id: str) -> str:
        """Return the system text for a task; equal arguments give equal texts."""
        ...
