"""A penalty on the distance of the entropy at uncertain places from where it began (SIREN)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.batch import Batch, Normaliser
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.slots import Bounds, View
from agentrl.algorithms.statistics import Statistic, TopPEntropy
from agentrl.algorithms.weights.selectors import RowQuantile, Selector
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm

_ROW_MEANS = Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredEntropy:
    """`coefficient * (H - anchor)^2`, H the mean over rows of each row's mean peak entropy.

    The peaks of a row are its valid tokens whose top-p entropy is above a quantile of the row.  H
    is that of the whole optimiser batch: each token's value is (H - anchor)^2 plus a term of value
    0 with the token's share of the gradient, so that micro-batches add up.

    Source: SIREN; Linn3a/siren:verl/workers/actor/dp_actor.py, `mask_by_quantile` and
    `update_policy`.  There the peaks are not restricted to the mask, which is harmless only where
    all masked tokens are padding.

    Attributes:
        coefficient: c.
        anchor: H_0 in nats; None is no penalty yet, see `EntropyAnchor`.
        entropy: the entropy of each token.
        quantile: of each row, 0.8 keeps the highest fifth.
    """

    name: ClassVar[str] = "anchored_entropy"
    aggregation: ClassVar[Aggregation] = _ROW_MEANS
    coefficient: float = 0.005
    anchor: float | None = None
    entropy: TopPEntropy = field(default_factory=TopPEntropy)
    quantile: float = 0.8

    def __post_init__(self) -> None:
        in_range("anchor_coefficient", self.coefficient, 0)
        in_range("peak_quantile", self.quantile, 0, 1)
        if self.anchor is not None:
            in_range("anchor", self.anchor)

    @property
    def requires(self) -> frozenset[Statistic]:
        """The entropies under the current weights."""
        return frozenset({self.entropy.now()})

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """The same, once there is an anchor."""
        return frozenset() if self.anchor is None else self.requires

    def peaks(self, entropy: TopPEntropy) -> Selector:
        """Return which tokens count."""
        return RowQuantile(entropy, self.quantile)

    def measure(self, view: View, entropy: TopPEntropy) -> Tensor:
        """Return H of these rows, a scalar; rows without a peak count as 0."""
        return _ROW_MEANS(view.stat(entropy), self.peaks(entropy).choose(view), view.normaliser)

    def prepare(self, view: View) -> Tensor:
        """Return H of the optimiser batch."""
        return self.measure(view, self.entropy.now())

    def __call__(self, view: View) -> Tensor:
        """Return the values [B, T]."""
        entropy = self.entropy.now()
        entropy_BT = view.stat(entropy)
        if self.anchor is None:
            return torch.zeros_like(entropy_BT)
        gap: Tensor = view.state(self) - self.anchor
        peaks_BT = self.peaks(entropy).choose(view)
        tokens_B1, peaks_B1 = (
            chosen_BT.sum(-1, keepdim=True).to(entropy_BT.dtype) + masked.COUNT_EPSILON
            for chosen_BT in (view.valid_BT, peaks_BT)
        )
        share_BT = masked.fill(entropy_BT * (tokens_B1 / peaks_B1), peaks_BT)
        return gap**2 + 2 * gap * (share_BT - share_BT.detach())


@dataclass(frozen=True, slots=True)
class EntropyAnchor:
    """Controller: the anchor is H of the first rollout under the old policy, then constant."""

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` without a term that has an anchor."""
        if not any(isinstance(term, AnchoredEntropy) for term in algorithm.regularisers):
            raise ConfigError(
                "`controllers` measures the anchor of AnchoredEntropy, which is not among "
                "`regularisers`; remove EntropyAnchor, or add the term."
            )

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin without an anchor, unless the term has one."""
        terms = (term for term in algorithm.regularisers if isinstance(term, AnchoredEntropy))
        term = next(terms)
        return _EntropyAnchor(term, term.anchor)


@dataclass(slots=True)
class _EntropyAnchor(Controller):
    term: AnchoredEntropy
    anchor: float | None

    @property
    def requires(self) -> frozenset[Statistic]:
        return frozenset({self.term.entropy} if self.anchor is None else ())

    def see(self, batch: Batch) -> None:
        if self.anchor is None and batch.valid_BT.any():
            self.anchor = float(self.term.measure(_view(batch), self.term.entropy))

    def apply(self, algorithm: Algorithm) -> Algorithm:
        terms = tuple(
            replace(term, anchor=self.anchor) if isinstance(term, AnchoredEntropy) else term
            for term in algorithm.regularisers
        )
        return replace(algorithm, regularisers=terms)

    def state_dict(self) -> dict[str, Any]:
        return {"anchor": self.anchor}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        anchor = state["anchor"]
        self.anchor = None if anchor is None else float(anchor)


def _view(batch: Batch) -> View:
    """Return a view of a whole rollout before advantages."""
    zeros_BT = torch.zeros_like(batch.mask_BT, dtype=torch.get_default_dtype())
    zero = zeros_BT.new_zeros(())
    return View(
        batch=batch,
        valid_BT=batch.valid_BT,
        advantages_BT=zeros_BT,
        ratio_BT=zeros_BT + 1,
        bounds=Bounds(zero, zero + math.inf),
        normaliser=Normaliser.of(batch.mask_BT),
    )
