"""ADORA: groups that are worth learning from at the moment weigh more than others."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.advantages.pass_at_k import group_max
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import counted_rows, episode_sum, group_sum
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.steps import steps

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm

CRITERIA = ("length", "difficulty", "both", "either")


def scaled(batch: Batch, weight_B: Tensor) -> Batch:
    """Return the batch with each row's advantages times its weight."""
    weight_B1 = weight_B.to(batch.advantages.dtype).unsqueeze(-1)
    return replace(batch, advantages_BT=masked.fill(batch.advantages * weight_B1, batch.valid_BT))


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryAdvantage:
    """Transform: groups that are worth learning from now weigh more than the others (ADORA).

    A correct episode has an outcome above `threshold`.  A group is chosen by
    - length: its longest correct episode is longer than its wrong ones on average, where wrong
      ones of `truncation` and more are left out, as their length says nothing;
    - difficulty: at most `success_rate` of its episodes are correct;
    - both, or either.
    Its advantages are multiplied by `chosen`, those of other groups by `others`.

    Source: ADORA (arXiv 2602.10019); ShadeCloak/ADORA.  The released code knows the length
    criterion with (chosen, others) = (1, 0.1) only, and its two deployments differ in what a
    missing side means: `no_success="others", no_failure="chosen"` for language models
    (`compute_grpo_outcome_advantage_ADORA`), `no_success="neutral", no_failure="others"` for
    vision-language models (`weight_func`).

    Attributes:
        threshold: outcomes above it are correct.
        truncation: length from which a wrong episode is left out; None leaves out those that a
            limit cut off.
        criterion: one of `CRITERIA`.
        success_rate: tau, of the difficulty criterion.
        chosen: weight of chosen groups.
        others: weight of the other groups.
        no_success: the weight of a group without a correct episode under the length criterion:
            `others`, or `neutral` for 1 whatever the criterion.
        no_failure: whether the length criterion holds where no wrong episode counts: `chosen` if
            it does, `others` if not.
        unit: of lengths, `tokens` that were trained or `turns`.
        allow_self_labels: let a reward made from the model's own answers say what is correct.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_truth: ClassVar[bool] = True
    threshold: float = 0.5
    truncation: int | None = None
    criterion: str = "length"
    success_rate: float = 0.5
    chosen: float = 1.0
    others: float = 0.1
    no_success: str = "others"
    no_failure: str = "chosen"
    unit: str = "tokens"
    allow_self_labels: bool = False

    def __post_init__(self) -> None:
        if self.truncation is not None:
            in_range("truncation", self.truncation, 1)
        one_of("criterion", self.criterion, CRITERIA)
        in_range("success_rate", self.success_rate, 0, 1)
        in_range("chosen", self.chosen, 0)
        in_range("others", self.others, 0)
        one_of("no_success", self.no_success, ("others", "neutral"))
        one_of("no_failure", self.no_failure, ("chosen", "others"))
        one_of("unit", self.unit, ("tokens", "turns"))

    def check(self, algorithm: Algorithm) -> None:
        """Refuse self-labels."""
        Truth(allow_self_labels=self.allow_self_labels).check(self, algorithm)

    def __call__(self, batch: Batch) -> Batch:
        """Weigh the advantages."""
        return scaled(batch, self.weights(batch))

    def weights(self, batch: Batch) -> Tensor:
        """Return the weight of each row's group [B], float64."""
        counted_B = counted_rows(batch)
        outcomes_B = batch.returns_B if batch.outcomes_B is None else batch.outcomes_B
        right_B = counted_B & (outcomes_B.double() > self.threshold)
        rights_B = group_sum(batch.groups_B, right_B.double())
        count_B = group_sum(batch.groups_B, counted_B.double())
        hard_B = rights_B <= self.success_rate * count_B
        long_B = self._longer(batch, right_B, counted_B & ~right_B)
        match self.criterion:
            case "length":
                chosen_B = long_B
            case "difficulty":
                chosen_B = hard_B
            case "both":
                chosen_B = long_B & hard_B
            case _:
                chosen_B = long_B | hard_B
        weight_B = torch.full_like(rights_B, self.others).masked_fill(chosen_B, self.chosen)
        if self.no_success == "neutral":
            weight_B = torch.where(rights_B == 0, 1.0, weight_B)
        return weight_B

    def _longer(self, batch: Batch, right_B: Tensor, wrong_B: Tensor) -> Tensor:
        """Return bool [B]: the length criterion for each row's group."""
        length_B = self._lengths(batch)
        if self.truncation is not None:
            wrong_B = wrong_B & (length_B < self.truncation)
        elif batch.truncated_B is not None:
            wrong_B = wrong_B & ~batch.truncated_B.bool()
        wrongs_B = group_sum(batch.groups_B, wrong_B.double())
        total_B = group_sum(batch.groups_B, torch.where(wrong_B, length_B, 0.0))
        missing = -math.inf if self.no_failure == "chosen" else math.inf
        mean_B = torch.where(wrongs_B > 0, total_B / wrongs_B.clamp(min=1), missing)
        return group_max(batch.groups_B, length_B, right_B) > mean_B

    def _lengths(self, batch: Batch) -> Tensor:
        """Return the length of each row's episode [B], float64."""
        if self.unit == "tokens":
            return episode_sum(batch, batch.valid_BT.sum(-1).double())
        index = steps(batch)
        rows_B = torch.bincount(index.row_S, minlength=len(batch.mask_BT)).double()
        return episode_sum(batch, rows_B)
