"""How far the ratio may move before a token stops learning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from agentrl.algorithms.batch import Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.slots import Bounds, View


@dataclass(frozen=True, slots=True)
class ConstantBounds:
    """[1 - clip_low, 1 + clip_high], the same for every token.

    Attributes:
        clip_low: paper symbol epsilon (low); None means no lower bound.
        clip_high: epsilon (high); None means no upper bound.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    clip_low: float | None = 0.2
    clip_high: float | None = 0.2

    def __post_init__(self) -> None:
        if self.clip_low is not None:
            in_range("clip_low", self.clip_low, 0, 1)
        if self.clip_high is not None:
            in_range("clip_high", self.clip_high, 0)

    def __call__(self, view: View) -> Bounds:
        """Return two scalars."""
        low = 0.0 if self.clip_low is None else 1 - self.clip_low
        high = math.inf if self.clip_high is None else 1 + self.clip_high
        like = view.ratio_BT
        return Bounds(like.new_tensor(low), like.new_tensor(high))
