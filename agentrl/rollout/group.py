"""The group of one task while it grows: its plan, its episodes, what they have cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentrl.rollout.moment import Origin, Trace
from agentrl.rollout.plan import Plan, Start, Turn
from agentrl.rollout.policy import EpisodeKey
from agentrl.tree import Episode, Tree


@dataclass(slots=True, eq=False)
class Job:
    """An episode that waits or runs.

    Attributes:
        group: what it belongs to.
        row: its number in the plan.
        episode: its record.
        start: where it begins.
        last: its newest turn.
        surplus: why it is cancelled; empty while it is wanted.
        timeout: its deadline, while it is played.
        time_left: seconds to the deadline when it was set aside.
    """

    group: Group
    row: int
    episode: Episode
    start: Start
    last: Turn | None = None
    surplus: str = ""
    timeout: asyncio.Timeout | None = None
    time_left: float | None = None

    @property
    def order(self) -> tuple[int, int]:
        """Who comes first: groups in the order of their tasks, then episodes as they were made."""
        return self.group.number, self.episode.id

    def turn(self) -> Turn:
        """Return its newest turn; an empty one if it ended before it sampled anything."""
        return self.last or Turn(self.row, self.episode.turns, (), (), True)


@dataclass(slots=True, eq=False)
class Group:
    """A tree that is still growing.

    Attributes:
        number: its place among the groups; earlier ones are served first.
        tree: what grows.
        plan: decides which episodes there are.
        resamples_left: failed episodes that may still be replaced.
        token_budget: sampled tokens after which no episode is started any more; 0 sets none.
        tokens: sampled so far.
        open: episodes that wait or run.
        ended: episodes that have ended and count.
        done: nothing will be added.
        held: ended episodes whose sessions the engine keeps, since they can be branched from.
    """

    number: int
    tree: Tree
    plan: Plan
    resamples_left: int
    token_budget: int = 0
    tokens: int = 0
    open: int = 0
    ended: int = 0
    done: bool = False
    held: list[EpisodeKey] = field(default_factory=list)
    _episodes: list[Episode] = field(default_factory=list)
    _traces: dict[int, Trace] = field(default_factory=dict)

    def begin(self) -> list[Job]:
        """Return the first episodes."""
        return self._jobs(self.plan.begin())

    def observe(self, turn: Turn) -> list[Job]:
        """Tell the plan of a turn, and return what to start."""
        self.tokens += len(turn.ids)
        self.ended += turn.ended
        return self._jobs(self.plan.observe(turn))

    def lost(self, row: int) -> list[Job]:
        """Tell the plan of a failed episode, and return what to start in its place."""
        starts = self.plan.lost(row, self.resamples_left > 0)
        self.resamples_left -= len(starts)
        return self._jobs(starts)

    def excess(self) -> int:
        """Return how many more episodes have ended than are wanted; negative if fewer."""
        return self.ended - self.plan.rollouts

    def trace(self, job: Job) -> Trace | None:
        """Return where the episode notes what branches need; None if there will be none."""
        if not self.plan.forks:
            return None
        return self._traces.setdefault(job.row, Trace(self.tree.task))

    def origin(self, start: Start) -> Origin | None:
        """Return where an episode begins; None is the prompt."""
        if start.source is None and not start.given:
            return None
        return Origin(
            trace=None if start.source is None else self._traces[start.source],
            turn=start.turn,
            token=start.token,
            trained=start.trained,
            given=start.given,
        )

    def close(self) -> None:
        """Forget what only branches need, and put the tree in its final order."""
        self.done = True
        self._traces.clear()
        self.tree.sort()

    def _jobs(self, starts: Sequence[Start]) -> list[Job]:
        """Make the records of new episodes; none once the budget is used up."""
        if self.token_budget and self.tokens >= self.token_budget:
            return []
        jobs = []
        for start in starts:
            episode = self.tree.add_episode()
            if start.source is not None:
                episode.parent_episode = self._episodes[start.source].id
                episode.forked_at = (start.turn, start.token)
            jobs.append(Job(self, len(self._episodes), episode, start))
            self._episodes.append(episode)
        self.open += len(jobs)
        return jobs
