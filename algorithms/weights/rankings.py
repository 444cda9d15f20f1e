"""Selectors that compare the tokens of the whole optimiser batch with each other.

They choose once, in `prepare`, so the choice does not depend on micro-batches.  See
`agentrl.algorithms.weights.selectors` for how slots use them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.slots import PerRow, View
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.algorithms.weights.scores import Source, needs, read
from agentrl.algorithms.weights.selectors import All, Selector
from agentrl.errors import ConfigError


class Ranking(Selector):
    """Base of selectors that compare the tokens of the whole optimiser batch with each other."""

    __slots__ = ()

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """Everything it reads: the choice is made once."""
        return self.requires or frozenset({Stat.LOGPROBS})

    def prepare(self, view: View) -> PerRow:
        """Return the choice for all rows."""
        return PerRow.of(view.batch, self.of_batch(view))

    def choose(self, view: View, state: Any = None) -> Tensor:
        """Return bool [B, T]."""
        if state is None:
            return self.of_batch(view)
        chosen_BT: Tensor = state.rows(view.batch)[:, : view.valid_BT.shape[-1]]
        return chosen_BT & view.valid_BT

    @abstractmethod
    def of_batch(self, view: View) -> Tensor:
        """Return bool [B, T] for a view of the whole optimiser batch."""


@dataclass(frozen=True, slots=True)
class TopFraction(Ranking):
    """The tokens with the highest score: floor(fraction n) of the n tokens `within`.

    Attributes:
        score: what is ranked.
        fraction: of the tokens `within`.
        at_least: the count is raised to this.
        none_below: a smaller count chooses nothing.
        within: the tokens that are ranked and counted.
    """

    score: Source
    fraction: float
    at_least: int = 1
    none_below: int = 0
    within: Selector = field(default_factory=All)

    def __post_init__(self) -> None:
        in_range("fraction", self.fraction, 0, 1)

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the score and `within` read."""
        return needs(self.score) | self.within.requires

    def of_batch(self, view: View) -> Tensor:
        """Return bool [B, T]."""
        return self._best(view, read(view, self.score))

    def _best(self, view: View, score_BT: Tensor) -> Tensor:
        flat = self.within.choose(view).flatten().nonzero().squeeze(-1)
        count = max(int(self.fraction * len(flat)), self.at_least)
        if count < self.none_below:
            count = 0
        order = torch.argsort(score_BT.flatten()[flat], descending=True, stable=True)
        return _at(view, flat[order[:count]])


@dataclass(frozen=True, slots=True)
class LowestFraction(TopFraction):
    """The tokens with the lowest score; otherwise like `TopFraction`.

    With `at_least=0, none_below=2` nothing is chosen where the count is 0 or 1 (Lp-Reg).
    """

    def of_batch(self, view: View) -> Tensor:
        """Return bool [B, T]."""
        return self._best(view, -read(view, self.score))


@dataclass(frozen=True, slots=True)
class TopQuantile(Ranking):
    """Tokens whose score is at least the (1 - fraction) quantile of the valid tokens.

    The quantile is interpolated, so the count may differ by one from `TopFraction`, and all tokens
    that tie with the limit are chosen.  Source: huggingface/trl, `get_high_entropy_mask`.
    """

    score: Source
    fraction: float

    def __post_init__(self) -> None:
        in_range("fraction", self.fraction, 0, 1)

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the score reads."""
        return needs(self.score)

    def of_batch(self, view: View) -> Tensor:
        """Return bool [B, T]."""
        score_BT = read(view, self.score)
        values = torch.sort(score_BT[view.valid_BT]).values
        if not len(values):
            return view.valid_BT
        place = (1 - self.fraction) * (len(values) - 1)
        below, above = values[math.floor(place)], values[math.ceil(place)]
        limit = torch.lerp(below, above, place - math.floor(place))
        return view.valid_BT & (score_BT >= limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band(Ranking):
    """Tokens whose score lies strictly between two limits, at most a share of all tokens.

    Attributes:
        score: what is compared.
        low: the lower limit.
        high: the upper limit.
        fraction: at most max(floor(fraction N), 1) tokens, N all valid ones; None takes all.
        order: which ones: `random` draws them with the view's generator, from the candidates in
            the order of their scores, so that the order of rows does not matter; `first` takes
            them in the order of the rows.
        within: the tokens that are candidates.
    """

    score: Source
    low: float
    high: float
    fraction: float | None = None
    order: str = "random"
    within: Selector = field(default_factory=All)

    def __post_init__(self) -> None:
        one_of("order", self.order, ("random", "first"))
        if self.fraction is not None:
            in_range("fraction", self.fraction, 0, 1)
        if self.low >= self.high:
            raise ConfigError(f"`low` {self.low} of a band must be below `high` {self.high}.")

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the score and `within` read."""
        return needs(self.score) | self.within.requires

    def of_batch(self, view: View) -> Tensor:
        """Return bool [B, T]."""
        score_BT = read(view, self.score)
        inside_BT = (score_BT > self.low) & (score_BT < self.high) & self.within.choose(view)
        if self.fraction is None:
            return inside_BT
        flat = inside_BT.flatten().nonzero().squeeze(-1)
        quota = max(int(self.fraction * int(view.valid_BT.sum())), 1)
        if quota >= len(flat):
            return inside_BT
        if self.order == "random":
            draw = view.generator
            where = None if draw is None else draw.device
            permutation = torch.randperm(len(flat), generator=draw, device=where).to(flat.device)
            flat = flat[torch.argsort(score_BT.flatten()[flat], stable=True)][permutation]
        return _at(view, flat[:quota])


def _at(view: View, positions: Tensor) -> Tensor:
    """Return bool [B, T], True at positions of the flattened tensor."""
    found = torch.zeros_like(view.valid_BT).flatten()
    found[positions] = True
    return found.reshape(view.valid_BT.shape)
