"""A bonus for late tokens while entropy is on its plateau."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.slots import RunFacts
from agentrl.algorithms.steps import steps
from agentrl.algorithms.timeline import timeline
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBonus:
    """Transform: `A_t + sign(A_t) min(alpha sigmoid(slope (u_t - 1/2)), cap |A_t|)`.

    u_t = t / n, t the place of the token, from 0, among the n trained tokens of its episode (or of
    its turn).  An advantage of 0 stays 0.  It works in one stage of the run only.

    Source: Decomposing the Entropy-Performance Exchange (arXiv 2508.02260);
    RUCAIBox/Slow_Thinking_with_LLMs:entropy2performance, which fixes the stage at its steps 201 to
    299.

    Attributes:
        alpha: largest bonus.
        slope: k, how steeply it rises in the middle.
        cap: largest share of |A_t|.
        along: `episode`, all trained tokens over all turns, or `turn`, each turn by itself.
        first_step: update, from 1, at which the stage begins; None takes `begin`.
        last_step: update at which it ends, included; None is the end of the run.
        begin: share of the run after which the stage begins, where `first_step` is None.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    alpha: float = 0.1
    slope: float = 15.0
    cap: float = 0.5
    along: str = "episode"
    first_step: int | None = None
    last_step: int | None = None
    begin: float = 0.0

    def __post_init__(self) -> None:
        in_range("alpha", self.alpha, 0)
        in_range("slope", self.slope, 0)
        in_range("cap", self.cap, 0, 1)
        one_of("along", self.along, ("episode", "turn"))
        in_range("begin", self.begin, 0, 1)
        if self.first_step is not None:
            in_range("first_step", self.first_step, 1)
        if self.last_step is not None:
            in_range("last_step", self.last_step, self.first_step or 1)

    def check_run(self, facts: RunFacts) -> None:
        """Refuse a stage that the run never reaches."""
        if self.first_step is not None and 0 < facts.steps < self.first_step:
            raise ConfigError(
                f"`first_step` is {self.first_step}, but the run has {facts.steps} updates, so "
                "the bonus would never be given; choose an earlier step."
            )

    def active(self, batch: Batch) -> bool:
        """Return whether this update lies in the stage."""
        if self.last_step is not None and batch.step + 1 > self.last_step:
            return False
        if self.first_step is not None:
            return batch.step + 1 >= self.first_step
        return batch.progress >= self.begin

    def __call__(self, batch: Batch) -> Batch:
        """Add the bonus."""
        if not self.active(batch):
            return batch
        advantages_BT = batch.advantages
        place_BT = self._places(batch)
        bonus_BT = self.alpha * torch.sigmoid(self.slope * (place_BT - 0.5))
        bonus_BT = torch.minimum(bonus_BT.to(advantages_BT.dtype), self.cap * advantages_BT.abs())
        changed_BT = advantages_BT + advantages_BT.sign() * bonus_BT
        return replace(batch, advantages_BT=masked.fill(changed_BT, batch.valid_BT))

    def _places(self, batch: Batch) -> Tensor:
        """Return u [B, T], float64."""
        if self.along == "episode":
            line = timeline(batch)
            place_EL = (line.present_EL.cumsum(-1) - 1).double()
            return line.scatter(place_EL / line.present_EL.sum(-1, keepdim=True).clamp(min=1))
        index = steps(batch)
        rank_BT = batch.valid_BT.cumsum(-1)
        first_S = rank_BT.new_full((index.count,), rank_BT.shape[-1] + 1)
        inside_BT = index.index_BT >= 0
        first_S = first_S.scatter_reduce(0, index.index_BT[inside_BT], rank_BT[inside_BT], "amin")
        place_BT = (rank_BT - index.spread(first_S)).double()
        return place_BT / index.spread(index.tokens_S).clamp(min=1)
