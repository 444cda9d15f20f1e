"""A KL term whose strength differs from row to row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.batch import Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.regularisers.kl import KINDS, kl_estimate
from agentrl.algorithms.slots import Aggregate, View


@dataclass(frozen=True, slots=True, kw_only=True)
class RowWeightedKL:
    """`coefficient * Agg(w_i k(l, l_ref))`, w_i the note `kl_weight` [B] of an earlier slot.

    Attributes:
        coefficient: beta of the papers.
        kind: estimator, one of `kl.KINDS`.
        aggregation: its own; by default the mean over rows of the mean over their tokens.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.LOGPROBS, Stat.REF_LOGPROBS})
    name: ClassVar[str] = "kl_ref"
    coefficient: float = 0.001
    kind: str = "k3"
    aggregation: Aggregate | None = field(
        default_factory=lambda: Aggregation(Mode.SEQ_MEAN_TOKEN_MEAN)
    )

    def __post_init__(self) -> None:
        in_range("kl_coefficient", self.coefficient, 0)
        one_of("kl_kind", self.kind, KINDS)

    def __call__(self, view: View) -> Tensor:
        """Return the weighted estimator [B, T]."""
        values_BT = kl_estimate(view.stat(Stat.LOGPROBS), view.stat(Stat.REF_LOGPROBS), self.kind)
        weight_B = view.batch.notes["kl_weight"].detach()
        return values_BT * weight_B.unsqueeze(-1).to(values_BT.dtype)
