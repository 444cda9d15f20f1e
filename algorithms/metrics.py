"""Metrics that stay exact when a batch is cut into micro-batches or spread over processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from agentrl.algorithms import masked


@dataclass(frozen=True, slots=True)
class Metric:
    """A sum and the weight it is divided by; adding two metrics merges their batches exactly.

    Attributes:
        total: scalar, detached.
        weight: scalar, detached; None marks a plain sum, such as a loss already normalised by
            the counts of the whole batch.
    """

    total: Tensor
    weight: Tensor | None = None

    @classmethod
    def mean(cls, values: Tensor, valid: Tensor) -> Metric:
        """Mean of `values` over the positions where `valid` (bool) is True."""
        return cls(masked.total(values.detach().double(), valid), valid.sum().double())

    @classmethod
    def share(cls, chosen: Tensor, valid: Tensor) -> Metric:
        """Fraction of the valid positions where `chosen` (bool) is True."""
        return cls.mean(chosen.double(), valid)

    @classmethod
    def sum(cls, value: Tensor) -> Metric:
        """A quantity whose parts add up to the whole batch's value."""
        return cls(value.detach())

    def __add__(self, other: Metric) -> Metric:
        weight = None
        if self.weight is not None and other.weight is not None:
            weight = self.weight + other.weight
        return Metric(self.total + other.total, weight)

    @property
    def value(self) -> float:
        """The mean (0 for an empty batch), or the sum where there is no weight."""
        if self.weight is None:
            return float(self.total)
        return float(self.total / (self.weight + masked.COUNT_EPSILON))


Metrics = Mapping[str, Metric]
NOTED = "metric/"
"""How the names of notes begin that a slot before the loss leaves for the report."""


def noted(notes: Mapping[str, Tensor]) -> dict[str, Metric]:
    """Return the metrics that slots left in `Batch.notes`, NaN standing for rows without one."""
    return {
        name.removeprefix(NOTED): Metric.mean(values_B.nan_to_num(), ~values_B.isnan())
        for name, values_B in notes.items()
        if name.startswith(NOTED)
    }


def combine(parts: Iterable[Metrics]) -> dict[str, Metric]:
    """Merge the metrics of micro-batches, or of processes, into those of the whole batch."""
    merged: dict[str, Metric] = {}
    for part in parts:
        for name, metric in part.items():
            merged[name] = merged[name] + metric if name in merged else metric
    return merged


def report(metrics: Metrics) -> dict[str, float]:
    """Return plain numbers, with the effective sample size of the behaviour weights derived.

    A mean over nothing, for example the entropy of a step whose groups were all filtered out, is
    left out: a zero would say something false.

    `behaviour/ess` = (sum w)^2 / (N sum w^2) = mean(w)^2 / mean(w^2), between 0 and 1.
    """
    numbers = {
        name: metric.value
        for name, metric in metrics.items()
        if metric.weight is None or float(metric.weight) > 0
    }
    square = numbers.get("behaviour/square", 0.0)
    if square > 0:
        numbers["behaviour/ess"] = numbers["behaviour/mean"] ** 2 / square
    return numbers
