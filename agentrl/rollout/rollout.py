"""One rollout in progress: who plays, who waits, and what follows from each finished turn.

Every episode is a coroutine of its own, so no turn waits for another episode's.  Finished turns and
ended episodes are *events*.  Without lockstep an event is settled at once; with it, all events of a
turn are settled together, in a fixed order, before the next turn begins.  Settling tells plans,
replaces failed episodes, completes groups, and starts what waits as far as there is room: groups
in the order of their tasks, so that the oldest is finished first and no branch starves.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentrl.engines.base import Completion
from agentrl.errors import EngineError
from agentrl.rollout.episode import EpisodeSettings, play
from agentrl.rollout.gate import Gate
from agentrl.rollout.group import Group, Job
from agentrl.rollout.lockstep import Lockstep
from agentrl.rollout.plan import Turn
from agentrl.rollout.policy import EpisodeKey, Policy
from agentrl.rollout.workers import EnvPool
from agentrl.tree import Episode, StopReason, Tree

TreeDone = Callable[[Tree], None]
ENOUGH = "its group had enough episodes"


@dataclass(frozen=True, slots=True)
class _Event:
    """A finished turn, or with `turn` None the failure of an episode."""

    job: Job
    turn: Turn | None

    @property
    def order(self) -> tuple[int, int, int]:
        return (*self.job.order, -1 if self.turn is None else self.turn.turn)


@dataclass(slots=True)
class Goal:
    """When a rollout is over.

    Attributes:
        groups: so many kept groups are enough; the others are then cancelled or set aside.
        keep: whether a complete group counts.
        on_tree: called with each tree as soon as it is complete.
    """

    groups: int
    keep: Callable[[Tree], bool] | None = None
    on_tree: TreeDone | None = None


class Rollout:
    """Groups of episodes over a pool of environments.

    Args:
        pool: environments.
        settings: what all episodes have in common.
        slots: most episodes in play.
        lockstep: take turns together.
        deadline: seconds an episode may be played; 0 sets none.
    """

    def __init__(
        self,
        pool: EnvPool,
        settings: EpisodeSettings,
        *,
        slots: int,
        lockstep: bool = False,
        deadline: float = 0.0,
    ) -> None:
        self.groups: list[Group] = []
        self.settings = settings
        self.slots = slots
        self._pool = pool
        self._deadline = deadline
        self._gate = Gate()
        self._barrier = Lockstep(self._gate, self._settle) if lockstep else None
        self._policy: Policy = self._barrier or self._gate
        self._goal = Goal(0)
        self._kept = 0
        self._waiting: list[tuple[tuple[int, int], int, Job]] = []
        self._ticket = itertools.count()
        self._events: list[_Event] = []
        self._playing: dict[asyncio.Task[None], Job] = {}
        self._over: asyncio.Future[None] | None = None

    @property
    def playing(self) -> int:
        """Episodes in play, or set aside."""
        return len(self._playing)

    async def run(self, policy: Policy, groups: list[Group], goal: Goal) -> list[Tree]:
        """Play until the goal is reached; return the complete trees, in the order of the groups.

        What is then unfinished stays as it is: `cancel` ends it, another `run` goes on with it.
        """
        self._goal, self._kept = goal, 0
        self.groups += groups
        self._over = asyncio.get_running_loop().create_future()
        self._gate.open(policy)
        self._release_deadlines()
        for group in groups:
            self._enqueue(group.begin())
        self._settle()
        try:
            await self._over
        except BaseException:
            await self.cancel("the rollout was given up")
            raise
        finally:
            self._over = None
            self._gate.close()
            self._hold_deadlines()
        finished = [group.tree for group in self.groups if group.done]
        self.groups = [group for group in self.groups if not group.done]
        return finished

    async def cancel(self, why: str) -> list[Tree]:
        """End all episodes that wait or run, and return their trees."""
        unfinished = [group for group in self.groups if not group.done]
        for group in unfinished:
            self._cancel_rest(group, why)
        await asyncio.gather(*self._playing, return_exceptions=True)
        for group in unfinished:
            self._close(group)
        self.groups, self._events = [], []
        return [group.tree for group in unfinished]

    # -- settling --------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Work off the events, start what there is room for, and see whether it is over."""
        if self._over is None or self._over.done():
            return  # set aside; the next run goes on from here
        try:
            self._work_off()
        except Exception as error:  # of a plan or of `on_tree`; nobody else would hear of it
            self._give_up(error)
            return
        enough = self._kept >= self._goal.groups
        if enough or not (self._waiting or self._playing):
            self._over.set_result(None)

    def _work_off(self) -> None:
        events, self._events = sorted(self._events, key=lambda event: event.order), []
        for event in events:
            self._take(event)
        while self._waiting and len(self._playing) < self.slots:
            self._start(heapq.heappop(self._waiting)[-1])

    def _take(self, event: _Event) -> None:
        group, turn = event.job.group, event.turn
        if group.done:
            return
        self._enqueue(group.lost(event.job.row) if turn is None else group.observe(turn))
        if turn is None or turn.ended:
            group.open -= 1
            if group.excess() > 0:
                _surplus(event.job.episode, ENOUGH)
            if group.excess() >= 0:
                self._cancel_rest(group, ENOUGH)
            if group.open == 0:
                self._complete(group)

    def _complete(self, group: Group) -> None:
        self._close(group)
        if self._goal.keep is None or self._goal.keep(group.tree):
            self._kept += 1
        if self._goal.on_tree is not None:
            self._goal.on_tree(group.tree)

    def _close(self, group: Group) -> None:
        group.close()
        for key in group.held:
            self._policy.finish(key)

    def _cancel_rest(self, group: Group, why: str) -> None:
        """Cancel the episodes of a group that wait or run; each is recorded as such."""
        waits = [entry for entry in self._waiting if entry[-1].group is group]
        for entry in waits:
            _surplus(entry[-1].episode, why)
            self._waiting.remove(entry)
        heapq.heapify(self._waiting)
        plays = [item for item in self._playing.items() if item[1].group is group]
        for task, job in plays:
            if not job.surplus and not task.done():
                job.surplus = why
                _surplus(job.episode, why)  # now, because the tree may be complete with it
                task.cancel()
                group.open -= 1
        group.open -= len(waits)

    def _enqueue(self, jobs: list[Job]) -> None:
        for job in jobs:
            heapq.heappush(self._waiting, (job.order, next(self._ticket), job))

    # -- playing ---------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        if self._barrier is not None:
            self._barrier.join()
        task = asyncio.get_running_loop().create_task(self._play(job))
        self._playing[task] = job
        task.add_done_callback(self._ended)

    async def _play(self, job: Job) -> None:
        """Play one episode, within the deadline."""
        group = job.group

        def on_turn(turn: int, completion: Completion, stop: StopReason | None) -> None:
            ids, entropies = completion.ids, completion.entropies
            job.last = Turn(job.row, turn, ids, entropies, stop is not None)
            if stop is None:
                self._events.append(_Event(job, job.last))
                if self._barrier is None:
                    self._settle()

        try:
            async with asyncio.timeout(self._deadline or None) as job.timeout:
                await play(
                    group.tree,
                    job.episode,
                    self.settings,
                    self._pool,
                    self._policy,
                    trace=group.trace(job),
                    origin=group.origin(job.start),
                    on_turn=on_turn,
                )
        except TimeoutError:
            job.episode.error_kind = "deadline"
            job.episode.error = f"The episode took more than {self._deadline:g} s."

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Take note of an episode that is not played any more."""
        job = self._playing.pop(task)
        error = None if task.cancelled() else task.exception()
        self._finish(job)
        if job.surplus:
            _surplus(job.episode, job.surplus)
        elif error is not None or task.cancelled():
            self._give_up(error or EngineError("An episode was cancelled from outside."))
        else:
            turn = replace(job.turn(), ended=True) if job.episode.counts else None
            self._events.append(_Event(job, turn))
        if self._barrier is not None:
            self._barrier.leave()
        else:
            self._settle()

    def _hold_deadlines(self) -> None:
        """Stop the clocks of episodes that are set aside."""
        now = asyncio.get_running_loop().time()
        for job in self._playing.values():
            if job.timeout is not None and (when := job.timeout.when()) is not None:
                job.time_left = when - now
                job.timeout.reschedule(None)

    def _release_deadlines(self) -> None:
        now = asyncio.get_running_loop().time()
        for job in self._playing.values():
            if job.timeout is not None and job.time_left is not None:
                job.timeout.reschedule(now + job.time_left)

    def _finish(self, job: Job) -> None:
        """Let the engine forget the episode, unless it can still be branched from."""
        key = EpisodeKey(job.group.tree.id, job.episode.id)
        if job.group.plan.forks and not job.group.done:
            job.group.held.append(key)
        else:
            self._policy.finish(key)

    def _give_up(self, error: BaseException) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)


def _surplus(episode: Episode, why: str) -> None:
    episode.stop, episode.error_kind = StopReason.CANCELLED, "surplus"
    episode.error = f"Cancelled: {why}."
