"""The order in which training tasks are drawn: every task once per epoch, shuffled by seed."""

from __future__ import annotations

import random

from agentrl.rollout.policy import seed_of
from agentrl.types import Task, TaskPanel


class TaskCursor:
    """Walks a panel in a shuffled order that depends only on the seed and the position.

    Args:
        panel: the training panel.
        seed: of the order; every epoch is shuffled anew.
    """

    def __init__(self, panel: TaskPanel, seed: int) -> None:
        self.panel = panel
        self.seed = seed
        self.position = 0

    def next(self, count: int) -> list[Task]:
        """Return the next `count` tasks; an epoch's end may lie in between."""
        tasks = []
        for position in range(self.position, self.position + count):
            epoch, index = divmod(position, len(self.panel))
            order = list(range(len(self.panel)))
            random.Random(seed_of(self.seed, "epoch", epoch)).shuffle(order)
            tasks.append(self.panel[order[index]])
        self.position += count
        return tasks
