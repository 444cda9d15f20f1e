"""Protection of improbable but sensible tokens: the slots of Lp-Reg.

Both hold the same selector, so that on the tokens it chooses the loss becomes -A r + beta k3: the
bounds are open there and the regulariser acts only there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.regularisers.kl import KINDS, kl_estimate
from agentrl.algorithms.slots import Aggregate, Bounds, View
from agentrl.algorithms.statistics import FilteredLogprobs, Statistic
from agentrl.algorithms.weights.rankings import LowestFraction
from agentrl.algorithms.weights.selectors import Both, Less, Negative, Positive, Selector, chosen


def unlikely(share: float, proxy: FilteredLogprobs, *, positive: bool = False) -> Selector:
    """Return the selector of Lp-Reg.

    Of the tokens with A < 0 (or A > 0) the `share` with the lowest current log-prob, none where
    that is fewer than two; of these the ones whose log-prob is below the proxy's.

    Source: CarlanLark/Lp-Reg-dev:verl/trainer/ppo/core_algos.py, `compute_policy_loss_lp_reg`.
    """
    in_range("share", share, 0, 1)
    lowest = LowestFraction(
        Stat.LOGPROBS,
        share,
        at_least=0,
        none_below=2,
        within=Positive() if positive else Negative(),
    )
    return lowest & Less(Stat.LOGPROBS, proxy)


@dataclass(frozen=True, slots=True)
class Either(Both):
    """Tokens that at least one of two selectors chooses."""

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        left, right = state or (None, None)
        return self.left.choose(view, left) | self.right.choose(view, right)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWhere:
    """Bounds rule: `[0, inf)` on the selector's tokens, constants elsewhere.

    Attributes:
        selector: tokens that are not clipped.
        other: bounds of the rest.
    """

    selector: Selector
    other: ConstantBounds = field(default_factory=ConstantBounds)

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the selector reads."""
        return self.selector.requires

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """What the selector ranks by."""
        return self.selector.prepare_requires

    def prepare(self, view: View) -> Any:
        """Return the selector's state."""
        return self.selector.prepare(view)

    def __call__(self, view: View) -> Bounds:
        """Return bounds [B, T]."""
        open_BT = chosen(self, self.selector, view)
        low, high = (side.expand(open_BT.shape) for side in self.other(view))
        return Bounds(low.masked_fill(open_BT, 0.0), high.masked_fill(open_BT, math.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class KLToProxy:
    """`coefficient * Agg(k3(l, l_proxy))` on the selector's tokens, 0 elsewhere.

    It raises l where the proxy is above it; the clamp of k3 ends the pull once the proxy's
    probability is more than 13.6 times the policy's.

    Attributes:
        proxy: the old policy without its improbable tokens.
        selector: tokens it acts on.
        coefficient: beta.
        kind: estimator, one of `kl.KINDS`.
        aggregation: its own; None uses the algorithm's.
    """

    name: ClassVar[str] = "kl_proxy"
    proxy: FilteredLogprobs
    selector: Selector
    coefficient: float = 1.0
    kind: str = "k3"
    aggregation: Aggregate | None = None

    def __post_init__(self) -> None:
        in_range("proxy_coefficient", self.coefficient, 0)
        one_of("proxy_kl_kind", self.kind, KINDS)

    @property
    def requires(self) -> frozenset[Statistic]:
        """Log-probs of policy and proxy, and what the selector reads."""
        return self.selector.requires | {Stat.LOGPROBS, self.proxy}

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """What the selector ranks by."""
        return self.selector.prepare_requires

    def prepare(self, view: View) -> Any:
        """Return the selector's state."""
        return self.selector.prepare(view)

    def __call__(self, view: View) -> Tensor:
        """Return the estimator [B, T]."""
        at_BT = chosen(self, self.selector, view)
        proxy_BT = torch.where(at_BT, view.stat(self.proxy), view.stat(Stat.LOGPROBS).detach())
        return masked.fill(kl_estimate(view.stat(Stat.LOGPROBS), proxy_BT, self.kind), at_BT)
