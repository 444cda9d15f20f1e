"""EMPG: steps that the policy was sure of weigh more, and lead to steps it is sure of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.steps import Steps, steps

EPSILON = 1e-8
"""Added to the spread of entropies and to the mean of the scales."""


def scaled_entropy(entropy_S: Tensor) -> Tensor:
    """Return (H - min) / (max - min + 1e-8) over all steps [S]."""
    if not len(entropy_S):
        return entropy_S
    low, high = entropy_S.min(), entropy_S.max()
    return (entropy_S - low) / (high - low + EPSILON)


def modulation(entropy_S: Tensor, sharpness: float) -> Tensor:
    """Return g [S]: exp(-k H_n), divided by its mean over the steps."""
    weight_S = torch.exp(-sharpness * scaled_entropy(entropy_S))
    return weight_S / (weight_S.mean() + EPSILON) if len(weight_S) else weight_S


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyModulation:
    """Transform: `A_k g(H_k) + clarity_weight f(H_{k+1})`, less its mean over all steps.

    H_k is the mean entropy of step k's tokens under the old policy, H_n its place between the
    smallest and the largest of the update, g = exp(-scale_sharpness H_n) over its mean, f =
    exp(-clarity_sharpness H_n).  The last step of an episode gets no clarity bonus.  The result is
    repeated over the step's tokens; it is centred but not divided by a deviation.

    Source: Entropy-Modulated Policy Gradients, from two independent summaries that agree; no code
    was released.  The next step is the next one with a valid token.

    Attributes:
        scale_sharpness: k; 0 leaves the scale at 1.
        clarity_sharpness: k'.
        clarity_weight: zeta; 0 gives no bonus.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_ENTROPY})
    scale_sharpness: float = 1.0
    clarity_sharpness: float = 1.0
    clarity_weight: float = 0.05

    def __post_init__(self) -> None:
        in_range("scale_sharpness", self.scale_sharpness, 0)
        in_range("clarity_sharpness", self.clarity_sharpness, 0)
        in_range("clarity_weight", self.clarity_weight, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Change the advantages."""
        index = steps(batch)
        if not index.count:
            return batch
        entropy_S = index.mean(batch.stat(Stat.OLD_ENTROPY).double())
        advantage_S = index.mean(batch.advantages.double())
        changed_S = advantage_S * modulation(entropy_S, self.scale_sharpness)
        changed_S = changed_S + self.clarity_weight * self._clarity(entropy_S, index)
        changed_S = changed_S - changed_S.mean()
        return replace(batch, advantages_BT=index.spread(changed_S).to(batch.advantages.dtype))

    def _clarity(self, entropy_S: Tensor, index: Steps) -> Tensor:
        """Return f of the next step of the episode [S]; 0 at the last."""
        clear_S = torch.exp(-self.clarity_sharpness * scaled_entropy(entropy_S))
        return torch.where(index.last_S, 0.0, clear_S.roll(-1))
