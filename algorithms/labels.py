"""Whether an episode was right, and whether its reward comes from ground truth.

A slot that makes up rewards by itself carries `self_labelled: ClassVar[bool] = True`.  A slot that
only works with ground truth carries `needs_truth: ClassVar[bool] = True` and calls
`reject_self_labels` in its `check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.episodes import GroupStatistics, group_statistics
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm

CORRECTNESS = ("success", "reward")
"""`success` is what the environment reports; `reward` is a return before shaping of at least 1."""


def correct(batch: Batch, correctness: str = "success") -> Tensor:
    """Return bool [B]: the row's episode was right.

    Args:
        batch: the rows.
        correctness: one of `CORRECTNESS`.

    Raises:
        StatisticMissing: the environment does not report `success`.
    """
    if correctness == "success":
        return batch.component("success") > 0
    outcomes_B = batch.returns_B if batch.outcomes_B is None else batch.outcomes_B
    return outcomes_B >= 1


def accuracy(batch: Batch, correct_B: Tensor) -> GroupStatistics:
    """Return count, mean and deviation of correctness over the counted episodes of groups [B]."""
    return group_statistics(batch, correct_B.to(torch.float64))


def reject_self_labels(slot: object, algorithm: Algorithm, *, allowed: bool = False) -> None:
    """Raise `ConfigError` if `slot` needs ground truth and the reward is self-labelled.

    Args:
        slot: what needs it.
        algorithm: whose reward slot is looked at.
        allowed: the pseudo-label may stand in.
    """
    if allowed or not getattr(algorithm.reward, "self_labelled", False):
        return
    raise ConfigError(
        f"{type(slot).__name__} needs to know which episodes are right, but `reward` "
        f"{type(algorithm.reward).__name__} makes labels up by itself; leave out one of the two, "
        "or set `allow_self_labels` so that the made-up label stands in."
    )
