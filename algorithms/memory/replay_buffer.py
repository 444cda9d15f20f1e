"""The running part of a replay: decisions about numbers, whatever a row is.

Per update, in this order:

    select             if ready: recalibrate, take a subset, empty the buffer  (before the update)
    remove_old, push                                                           (after the update)

Symbols: R a row's return, b and s the medians (P50) of the recent group means and group deviations,
T the sampled tokens of a row, G groups of an update.  `agentrl.algorithms.memory.replay.Replay` has
the settings and the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.episodes import group_statistics

if TYPE_CHECKING:
    from agentrl.algorithms.memory.replay import Replay

Payload = TypeVar("Payload")

EPSILON = 1e-6
"""Added to the deviation that advantages are divided by."""

OLDEST_PUSHES = 10
"""The released code keeps no push that is more updates older than the newest."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Generic[Payload]):
    """A row in the buffer.

    Attributes:
        reward: R, the return with all shaping.
        mask_T: 1 on tokens that may learn; at least one.
        advantages_T: as estimated when the row was sampled, 0 at masked tokens; those to train
            with in what `select` returns.
        payload: what the learner needs to compute the row again.
    """

    reward: float
    mask_T: Tensor
    advantages_T: Tensor
    payload: Payload


@dataclass(frozen=True, slots=True)
class GroupScores:
    """Mean and deviation of the returns of each group of one update [G]."""

    step: int
    means: tuple[float, ...]
    stds: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Push(Generic[Payload]):
    """The rows that one update stored."""

    step: int
    entries: tuple[Entry[Payload], ...]


def recalibrate(
    reward: float,
    mask_T: Tensor,
    mean: float,
    std: float,
    scale: str = "none",
    epsilon: float = EPSILON,
) -> Tensor:
    """Return A~ [T] of a row: R - b, or (R - b) / (s + epsilon) with `scale="median"`."""
    divisor = std + epsilon if scale == "median" else 1.0
    return (reward - mean) / divisor * mask_T


def group_scores(batch: Batch, group_std: str = "population") -> GroupScores:
    """Return mean and deviation of the returns of the groups with a counted episode.

    Args:
        batch: with advantages; episodes count once, those without a valid token not at all.
        group_std: `population` (n) or `sample` (n - 1).
    """
    found = group_statistics(batch, batch.returns_B)
    count_B = found.count_B
    std_B = found.std_B
    if group_std == "population":
        std_B = std_B * ((count_B - 1).clamp(min=0) / count_B.clamp(min=1)).sqrt()
    first: dict[int, int] = {}
    for row, (group, count) in enumerate(zip(batch.groups_B.tolist(), count_B, strict=True)):
        if count > 0:
            first.setdefault(group, row)
    order = list(first.values())
    means, stds = found.mean_B[order].tolist(), std_B[order].tolist()
    return GroupScores(batch.step, tuple(means), tuple(stds))


class ReplayBuffer(Generic[Payload]):
    """The running part: what is stored, and the baseline's history.

    Attributes:
        settings: as given.
        pushes: stored rows, oldest first.
        history: group scores, oldest first.
    """

    def __init__(self, settings: Replay) -> None:
        self.settings = settings
        self.pushes: list[Push[Payload]] = []
        self.history: list[GroupScores] = []

    @property
    def baseline(self) -> tuple[float, float]:
        """Medians b and s of the group means and deviations; 0 before the first push."""
        means = [mean for scores in self.history for mean in scores.means]
        stds = [std for scores in self.history for std in scores.stds]
        return (median(means), median(stds)) if means else (0.0, 0.0)

    def entries(self) -> list[Entry[Payload]]:
        """Return all stored rows, oldest first."""
        return [entry for push in self.pushes for entry in push.entries]

    def useful(self) -> int:
        """Return how many stored rows count towards `ready`: R > b, or all with a decay."""
        mean, _ = self.baseline
        decays = self.settings.weight_decay is not None
        return sum(decays or entry.reward > mean for entry in self.entries())

    def ready(self) -> bool:
        """Return whether there is enough to replay."""
        return self.useful() > self.settings.ready_factor * self.settings.buffer_rows

    def remove_old(self, step: int | None = None) -> None:
        """Drop pushes that are more than `tolerate_steps` older than `step`.

        Args:
            step: the present update; None takes the newest push in the buffer.
        """
        if not self.pushes:
            return
        now = self.pushes[-1].step if step is None else step
        most = min(self.settings.tolerate_steps, OLDEST_PUSHES)
        self.pushes = [push for push in self.pushes if now - push.step <= most]

    def push(self, scores: GroupScores, entries: Sequence[Entry[Payload]]) -> None:
        """Add the groups of an update to the history, and its rows to the buffer.

        Args:
            scores: of the update's groups.
            entries: its rows with a positive mean advantage.
        """
        self.remove_old()
        while sum(len(old.means) for old in self.history) > self.settings.baseline_groups:
            self.history.pop(0)
        self.history.append(scores)
        if entries:
            self.pushes.append(Push(scores.step, tuple(entries)))

    def recalibrated(self) -> list[Entry[Payload]]:
        """Return the stored rows that still do better than usual, with advantages to train with."""
        mean, std = self.baseline
        decay, found = self.settings.weight_decay, []
        for entry in self.entries():
            if decay is None:
                scale = self.settings.scale
                advantages_T = recalibrate(entry.reward, entry.mask_T, mean, std, scale)
            else:
                advantages_T = decay * entry.advantages_T
            total = float(advantages_T.sum())
            if total > 0 or (total == 0 and self.settings.keep == "not-negative"):
                found.append(replace(entry, advantages_T=advantages_T))
        return found

    def size(self, kept: int) -> int:
        """Return how many of `kept` rows are replayed; a single one is not a power of two here."""
        if self.settings.power_of_two:
            kept = 1 << (kept.bit_length() - 1) if kept > 1 else 0
        return min(kept, self.settings.buffer_rows)

    def select(self, step: int, generator: torch.Generator) -> list[Entry[Payload]]:
        """Return the rows to replay in update `step`, and empty the buffer; none if not ready.

        Nothing is drawn and nothing changes unless the buffer is ready and gamma above 0.

        Args:
            step: the present update.
            generator: draws the subset, on the CPU.
        """
        if self.settings.expiry == "replay":
            self.remove_old(step)
        if not self.settings.weight(step) or not self.ready():
            return []
        kept = self.recalibrated()
        self.pushes = []
        order = torch.randperm(len(kept), generator=generator).tolist()
        return [kept[index] for index in order[: self.size(len(kept))]]
