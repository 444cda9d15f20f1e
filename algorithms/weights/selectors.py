"""Which tokens: values that slots share, combined with `&`.

    LowestFraction(Stat.LOGPROBS, 0.01, within=Negative()) & Less(Stat.LOGPROBS, proxy)

Here are those that look at each row by itself; `agentrl.algorithms.weights.rankings` holds those
that compare tokens of the whole optimiser batch.

`a & b` are the tokens that both choose; `within` instead restricts what is counted and ranked.
Rankings choose once, in `prepare`; a slot that holds a selector keeps what that returns as its own
state:

    requires          selector.requires and its own
    prepare_requires  selector.prepare_requires
    prepare(view)     return selector.prepare(view)
    __call__(view)    chosen(self, self.selector, view)

Masked tokens are never chosen, and nothing here carries a gradient.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.slots import View
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.algorithms.weights.scores import Source, needs, read


class Selector(ABC):
    """A choice of tokens; this base needs nothing from other rows."""

    __slots__ = ()

    @property
    def requires(self) -> frozenset[Statistic]:
        """Statistics it reads."""
        return frozenset()

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """Statistics that `prepare` reads; empty where there is nothing to prepare."""
        return frozenset()

    def prepare(self, view: View) -> Any:
        """Return what `choose` needs to know about the whole optimiser batch."""
        return None

    @abstractmethod
    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]; without `state`, the rows of the view are the whole batch."""

    def __and__(self, other: Selector) -> Selector:
        return Both(self, other)


def chosen(slot: object, selector: Selector, view: View) -> Tensor:
    """Return the choice bool [B, T] of a selector whose state `slot` prepared."""
    return selector.choose(view, view.state(slot) if selector.prepare_requires else None)


@dataclass(frozen=True, slots=True)
class Both(Selector):
    """Tokens that both choose; each ranks and counts as if the other were not there."""

    left: Selector
    right: Selector

    @property
    def requires(self) -> frozenset[Statistic]:
        """What both read."""
        return self.left.requires | self.right.requires

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """What both prepare."""
        return self.left.prepare_requires | self.right.prepare_requires

    def prepare(self, view: View) -> Any:
        """Return the states of both."""
        return self.left.prepare(view), self.right.prepare(view)

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        left, right = state or (None, None)
        return self.left.choose(view, left) & self.right.choose(view, right)


@dataclass(frozen=True, slots=True)
class All(Selector):
    """Every valid token."""

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return the mask."""
        return view.valid_BT


@dataclass(frozen=True, slots=True)
class Negative(Selector):
    """Tokens with an advantage below 0."""

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        return view.valid_BT & (view.advantages_BT < 0)


@dataclass(frozen=True, slots=True)
class Positive(Selector):
    """Tokens with an advantage above 0."""

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        return view.valid_BT & (view.advantages_BT > 0)


@dataclass(frozen=True, slots=True)
class Unclipped(Selector):
    """Tokens that the clip of the ratio leaves a gradient (the dual clip is not looked at)."""

    @property
    def requires(self) -> frozenset[Statistic]:
        """The log-probs, without which there is no ratio to look at."""
        return frozenset({Stat.LOGPROBS})

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        advantages_BT, ratio_BT = view.advantages_BT, view.ratio_BT
        over_BT = (advantages_BT > 0) & (ratio_BT > view.bounds.high)
        under_BT = (advantages_BT < 0) & (ratio_BT < view.bounds.low)
        return view.valid_BT & ~over_BT & ~under_BT


@dataclass(frozen=True, slots=True)
class Less(Selector):
    """Tokens whose one number is below another, for example a log-prob below a proxy's."""

    left: Source
    right: Source

    @property
    def requires(self) -> frozenset[Statistic]:
        """What both numbers are made of."""
        return needs(self.left) | needs(self.right)

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        return view.valid_BT & (read(view, self.left) < read(view, self.right))


@dataclass(frozen=True, slots=True)
class RowQuantile(Selector):
    """Tokens strictly above a quantile of their own row's valid tokens.

    Attributes:
        score: what is compared.
        quantile: 0.8 keeps the highest fifth; between two values it is interpolated.
    """

    score: Source
    quantile: float = 0.8

    def __post_init__(self) -> None:
        in_range("quantile", self.quantile, 0, 1)

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the score reads."""
        return needs(self.score)

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        score_BT = masked.fill(read(view, self.score), view.valid_BT, math.nan)
        if not score_BT.numel():
            return view.valid_BT
        limit_B1 = torch.nanquantile(score_BT, self.quantile, -1, keepdim=True)
        return view.valid_BT & (score_BT > limit_B1)
