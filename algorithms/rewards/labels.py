"""Whether an episode was right, and whether its reward comes from ground truth.

A slot that makes up rewards by itself carries `self_labelled: ClassVar[bool] = True`.  A slot that
only works with ground truth carries `needs_truth: ClassVar[bool] = True`, holds a `Truth`, and
calls its `check`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.episodes import group_statistics
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm

CORRECTNESS = ("success", "reward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Where a slot learns which episodes were right.

    Attributes:
        correctness: `success` is what the environment reports; `reward` is a return before shaping
            of at least 1.
        allow_self_labels: a made-up label may stand in; then use `reward`.
    """

    correctness: str = "success"
    allow_self_labels: bool = False

    def __post_init__(self) -> None:
        one_of("correctness", self.correctness, CORRECTNESS)

    def right(self, batch: Batch) -> Tensor:
        """Return bool [B]: the row's episode was right.

        Raises:
            StatisticMissing: the environment does not report `success`.
        """
        if self.correctness == "success":
            return batch.component("success") > 0
        outcomes_B = batch.returns_B if batch.outcomes_B is None else batch.outcomes_B
        return outcomes_B >= 1

    def accuracy(self, batch: Batch) -> Tensor:
        """Return the share of right ones among the counted episodes of each group [B], float64."""
        return group_statistics(batch, self.right(batch).to(torch.float64)).mean_B

    def check(self, slot: object, algorithm: Algorithm) -> None:
        """Raise `ConfigError` if `slot` needs ground truth and the reward is self-labelled."""
        if self.allow_self_labels or not getattr(algorithm.reward, "self_labelled", False):
            return
        raise ConfigError(
            f"{type(slot).__name__} needs to know which episodes are right, but `reward` "
            f"{type(algorithm.reward).__name__} makes labels up by itself; leave out one of the "
            "two, or set `allow_self_labels` so that the made-up label stands in."
        )
