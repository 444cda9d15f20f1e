"""Play many episodes at once and gather them into a forest."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentrl.rollout.episode import EpisodeSettings, play
from agentrl.rollout.lockstep import Lockstep
from agentrl.rollout.policy import Policy
from agentrl.rollout.prompting import Prompting
from agentrl.rollout.workers import EnvPool
from agentrl.tree import Episode, Forest, Tree
from agentrl.types import Task

TreeDone = Callable[[Tree], None]


@dataclass(slots=True)
class _Group:
    """A tree that is still growing."""

    tree: Tree
    wanted: int
    resamples_left: int
    running: int = 0
    done: bool = False

    def missing(self) -> int:
        """Episodes that failed and may be drawn again."""
        short = self.wanted - len(self.tree.counted()) - self.running
        return min(short, self.resamples_left)


Queue = deque[tuple[_Group, Episode]]


class RolloutScheduler:
    """Plays groups of episodes over a pool of environment processes.

    Args:
        pool: environment processes; at most `pool.size` episodes run at a time.
        settings: what all episodes have in common.
        max_resamples: extra episodes a group may draw to replace failed ones.
        deterministic: take turns together (see `agentrl.rollout.lockstep`).
    """

    def __init__(
        self,
        pool: EnvPool,
        settings: EpisodeSettings,
        *,
        max_resamples: int = 4,
        deterministic: bool = False,
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.max_resamples = max_resamples
        self.deterministic = deterministic

    async def collect(
        self,
        tasks: Sequence[Task],
        policy: Policy,
        *,
        group_size: int,
        tree_prefix: str = "",
        on_tree: TreeDone | None = None,
        prompting: Prompting | None = None,
    ) -> Forest:
        """Play `group_size` episodes of each task.

        A failed episode is recorded, and replaced by a new one up to `max_resamples` times per
        group.  Trees come back in task order, their nodes in a fixed order.

        Args:
            tasks: one tree (group) each; the same task may occur more than once.
            policy: chooses the actions.
            group_size: episodes wanted per tree.
            tree_prefix: start of every tree id; the position in `tasks` follows.
            on_tree: called with each tree as soon as it is complete.
            prompting: varies the system text from task to task.

        Raises:
            ContextOverflow: the first prompt of a task does not fit the context; the other
                episodes are cancelled.
        """
        width = len(str(max(len(tasks) - 1, 0)))
        groups = [
            _Group(Tree(f"{tree_prefix}{i:0{width}d}", task), group_size, self.max_resamples)
            for i, task in enumerate(tasks)
        ]
        queue: Queue = deque()
        for group in groups:
            self._enqueue(queue, group, group_size)
        settings = replace(self.settings, prompting=prompting)
        slots = min(self.pool.size, len(queue))
        barrier = Lockstep(policy, slots) if self.deterministic else None
        try:
            async with asyncio.TaskGroup() as players:
                for _ in range(slots):
                    players.create_task(
                        self._player(queue, barrier or policy, barrier, on_tree, settings)
                    )
        except ExceptionGroup as errors:  # one player's error has cancelled the others
            raise errors.exceptions[0] from None
        return Forest([group.tree for group in groups])

    def _enqueue(self, queue: Queue, group: _Group, count: int) -> None:
        for _ in range(count):
            group.running += 1
            queue.append((group, group.tree.add_episode()))

    async def _player(
        self,
        queue: Queue,
        policy: Policy,
        barrier: Lockstep | None,
        on_tree: TreeDone | None,
        settings: EpisodeSettings,
    ) -> None:
        """Play episodes one after the other until every group is complete."""
        while queue:
            group, episode = queue.popleft()
            await play(group.tree, episode, settings, self.pool, policy)
            group.running -= 1
            self._after(queue, group, on_tree)
        if barrier is not None:
            barrier.leave()

    def _after(self, queue: Queue, group: _Group, on_tree: TreeDone | None) -> None:
        missing = group.missing()
        if missing > 0:
            group.resamples_left -= missing
            self._enqueue(queue, group, missing)
        elif group.running == 0 and not group.done:
            group.done = True
            group.tree.sort()
            if on_tree is not None:
                on_tree(group.tree)
