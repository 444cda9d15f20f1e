"""One behaviour weight per row from weights per token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.slots import Prepares, View, Weight
from agentrl.algorithms.statistics import Statistic


@dataclass(frozen=True, slots=True)
class RowGeometricMean:
    """The geometric mean of other weights over the row's valid tokens; 0 if one of them is 0.

    For losses with one value per row (GMPO).  Source: verl-project/verl:verl/trainer/ppo/
    core_algos.py, `compute_policy_loss_geo_mean`.

    Attributes:
        weights: multiplied with each other first.
    """

    weights: tuple[Weight, ...]

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the weights read."""
        return frozenset[Statistic]().union(*(weight.requires for weight in self.weights))

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """What the weights prepare."""
        parts = (w.prepare_requires for w in self.weights if isinstance(w, Prepares))
        return frozenset[Statistic]().union(*parts)

    def prepare(self, view: View) -> dict[object, Any]:
        """Return the states of the weights."""
        asked = (w for w in self.weights if isinstance(w, Prepares) and w.prepare_requires)
        return {weight: weight.prepare(view) for weight in asked}

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T], equal along a row."""
        if self.prepare_requires:
            view = replace(view, prepared=view.state(self))
        log_BT = torch.zeros_like(view.advantages_BT)
        for weight in self.weights:
            log_BT = log_BT + weight(view).log()
        mean_B = masked.row_mean(log_BT, view.valid_BT)
        return mean_B.exp().unsqueeze(-1).expand_as(log_BT)
