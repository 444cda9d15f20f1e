"""Terms added to the loss: coefficient times the aggregated per-token value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.regularisers.kl import KINDS, kl_estimate
from agentrl.algorithms.slots import Aggregate, View
from agentrl.errors import StatisticMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class KLToReference:
    """`coefficient * Agg(k(l, l_ref))`, keeps the policy near the reference.

    Attributes:
        coefficient: beta of the papers.
        kind: estimator, one of `kl.KINDS`.
        ratio_corrected: multiply the estimator by the ratio, with its gradient, so that k3 is
            unbiased off-policy (DeepSeek-V3.2; the default of huggingface/trl, not of the GRPO
            paper).
        aggregation: its own; None uses the algorithm's.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.LOGPROBS, Stat.REF_LOGPROBS})
    name: ClassVar[str] = "kl_ref"
    coefficient: float = 0.001
    kind: str = "k3"
    ratio_corrected: bool = False
    aggregation: Aggregate | None = None

    def __post_init__(self) -> None:
        in_range("kl_coefficient", self.coefficient, 0)
        one_of("kl_kind", self.kind, KINDS)

    def __call__(self, view: View) -> Tensor:
        """Return the estimator [B, T]."""
        values_BT = kl_estimate(view.stat(Stat.LOGPROBS), view.stat(Stat.REF_LOGPROBS), self.kind)
        return values_BT * view.ratio_BT if self.ratio_corrected else values_BT


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyBonus:
    """`-coefficient * Agg(H)`, H the entropy of the full softmax in nats.

    Attributes:
        weight: the bonus per nat.
        aggregation: its own; None uses the algorithm's (verl); huggingface/trl always takes the
            mean over tokens.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.ENTROPY_GRAD})
    name: ClassVar[str] = "entropy_bonus"
    weight: float = 0.001
    aggregation: Aggregate | None = None

    def __post_init__(self) -> None:
        in_range("entropy_coefficient", self.weight, 0)

    @property
    def coefficient(self) -> float:
        """Negative: the loss falls as entropy rises."""
        return -self.weight

    def __call__(self, view: View) -> Tensor:
        """Return the entropy [B, T]."""
        return view.stat(Stat.ENTROPY_GRAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueLoss:
    """`coefficient * Agg(max((V - G)^2, (clip(V, V_old +- c) - G)^2) / 2)`, trains the critic.

    G are the targets of the advantage estimator, V_old the values it used.

    Source: verl-project/verl:verl/trainer/ppo/core_algos.py, `compute_value_loss`.

    Attributes:
        coefficient: factor in the loss.
        value_clip: c, in units of reward; None does not clip.
        aggregation: its own; None uses the algorithm's.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.VALUES, Stat.OLD_VALUES})
    name: ClassVar[str] = "value"
    coefficient: float = 0.5
    value_clip: float | None = 0.2
    aggregation: Aggregate | None = None

    def __post_init__(self) -> None:
        in_range("value_coefficient", self.coefficient, 0)
        if self.value_clip is not None:
            in_range("value_clip", self.value_clip, 0, open_low=True)

    def __call__(self, view: View) -> Tensor:
        """Return the loss [B, T]."""
        targets_BT = view.batch.value_targets_BT
        if targets_BT is None:
            raise StatisticMissing("The value loss needs an advantage with value targets (`GAE`).")
        values_BT = view.stat(Stat.VALUES)
        error_BT = (values_BT - targets_BT) ** 2
        if self.value_clip is not None:
            old_BT = view.stat(Stat.OLD_VALUES)
            near_BT = torch.clamp(values_BT, old_BT - self.value_clip, old_BT + self.value_clip)
            error_BT = torch.maximum(error_BT, (near_BT - targets_BT) ** 2)
        return error_BT / 2


def regularisers(
    kl_coefficient: float = 0.0, kl_kind: str = "k3", entropy_coefficient: float = 0.0
) -> tuple[KLToReference | EntropyBonus, ...]:
    """Return the usual terms, leaving out those whose coefficient is 0."""
    kl = KLToReference(coefficient=kl_coefficient, kind=kl_kind)
    bonus = EntropyBonus(weight=entropy_coefficient)
    terms = ((kl, kl_coefficient), (bonus, entropy_coefficient))
    return tuple(term for term, coefficient in terms if coefficient)
