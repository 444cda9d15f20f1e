"""The state of a branching rollout, and one round of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Row:
    """One episode that is sampled, or was.

    Attributes:
        prompt: which prompt it belongs to.
        source: row it was forked from; None if it started from the prompt.
        shared: segments (with their tool results) it shares with the source.
        segments: finished segments of its path, shared ones included.
        first_entropy: of the segment that its later ones are compared with.
        consecutive: branchings in a row on its path.
        active: it is still sampled.
        lost: it failed, and takes no part any more.
    """

    prompt: int
    source: int | None = None
    shared: int = 0
    segments: int = 0
    first_entropy: float | None = None
    consecutive: int = 0
    active: bool = True
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """What one row has just sampled, up to a tool call or to its end.

    Attributes:
        row: its number.
        entropy: `segment_entropy` of its first tokens.
        ends: the episode is over; otherwise a tool result (or the next observation) follows.
    """

    row: int
    entropy: float
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """One draw whether a row branches."""

    row: int
    score: float
    branches: bool


@dataclass(frozen=True, slots=True)
class BranchState:
    """All rows of a batch by number, and the branching counters.

    Attributes:
        rows: in the order they were started.
        consecutive: by prompt, rounds in a row in which it got a new row.
    """

    rows: tuple[Row, ...]
    consecutive: tuple[int, ...]

    @property
    def active(self) -> tuple[int, ...]:
        """Numbers of rows that are still sampled."""
        return tuple(number for number, row in enumerate(self.rows) if row.active)

    def rows_of(self, prompt: int) -> tuple[int, ...]:
        """Return the numbers of a prompt's rows."""
        return tuple(number for number, row in enumerate(self.rows) if row.prompt == prompt)


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a round.

    Attributes:
        state: after it.
        forks: numbers of new rows that continue their `source` after `shared` segments.
        fresh: numbers of new rows that start from their prompt.
        decisions: in the order of the draws.
    """

    state: BranchState
    forks: tuple[int, ...]
    fresh: tuple[int, ...]
    decisions: tuple[Decision, ...]


class Round:
    """Rows and decisions of one round while it is worked out.

    Args:
        state: before the round.
        before: fork after the reported segment; otherwise before it.
    """

    def __init__(self, state: BranchState, before: bool) -> None:
        self.before = before
        self.rows = list(state.rows)
        self.consecutive = state.consecutive
        self.known = len(state.rows)
        self.decisions: list[Decision] = []
        self.counts = [0] * len(state.consecutive)
        for row in state.rows:
            self.counts[row.prompt] += not row.lost

    def report(self, segment: Segment) -> None:
        """Enter a finished segment."""
        if not 0 <= segment.row < self.known or not self.rows[segment.row].active:
            raise ConfigError(f"a segment of row {segment.row}, which is not an active row.")
        row = self.rows[segment.row]
        first = segment.entropy if row.first_entropy is None else row.first_entropy
        self.rows[segment.row] = replace(
            row, segments=row.segments + 1, first_entropy=first, active=not segment.ends
        )

    def lose(self, number: int) -> int:
        """Take a row out that has failed, and return its prompt."""
        row = self.rows[number]
        self.rows[number] = replace(row, active=False, lost=True)
        self.counts[row.prompt] -= 1
        return row.prompt

    def by_prompt(self, segments: Iterable[Segment]) -> dict[int, list[Segment]]:
        """Return the segments by prompt, in order of first appearance."""
        found: dict[int, list[Segment]] = {}
        for segment in segments:
            found.setdefault(self.rows[segment.row].prompt, []).append(segment)
        return found

    def may_branch(self, segment: Segment) -> bool:
        """Say whether there is a fork point: a tool result after, or before, the segment."""
        row = self.rows[segment.row]
        return row.active if self.before else row.segments > 1

    def evidence(self, segment: Segment, *, per_path: bool) -> tuple[float, int]:
        """Return the change of entropy and the counter that a decision is made from."""
        row = self.rows[segment.row]
        first = segment.entropy if row.first_entropy is None else row.first_entropy
        count = row.consecutive if per_path else self.consecutive[row.prompt]
        return segment.entropy - first, count

    def decide(self, segment: Segment, score: float, branches: bool) -> None:
        """Record a decision and start the branch."""
        self.decisions.append(Decision(segment.row, score, branches))
        if not branches:
            return
        source = self.rows[segment.row]
        shared = source.segments - (not self.before)
        first = None if self.before else source.first_entropy
        self._add(Row(source.prompt, segment.row, shared, shared, first))

    def idle(self, prompts: Iterable[int]) -> list[int]:
        """Return those of the prompts that have no active row, in ascending order."""
        running = {row.prompt for row in self.rows if row.active}
        return sorted(set(prompts) - running)

    def start_fresh(self, prompt: int) -> None:
        """Start a row from its prompt."""
        self._add(Row(prompt))

    def count(self, prompt: int) -> int:
        """Return how many rows a prompt has."""
        return self.counts[prompt]

    def finish(self, *, per_path: bool, alone: bool = False) -> Step:
        """Return the result with the counters moved on.

        Args:
            per_path: count branchings by path, otherwise by prompt.
            alone: there are no other prompts: the counter goes back to 0 in a round without a new
                row, which otherwise takes a new row of another prompt.
        """
        if per_path:
            self._count_paths()
        new = range(self.known, len(self.rows))
        return Step(
            state=BranchState(tuple(self.rows), self._prompt_counters(alone)),
            forks=tuple(number for number in new if self.rows[number].source is not None),
            fresh=tuple(number for number in new if self.rows[number].source is None),
            decisions=tuple(self.decisions),
        )

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self.counts[row.prompt] += 1

    def _prompt_counters(self, alone: bool) -> tuple[int, ...]:
        served = {row.prompt for row in self.rows[self.known :]}
        if not served and not alone:
            return self.consecutive
        return tuple(
            count + 1 if prompt in served else 0 for prompt, count in enumerate(self.consecutive)
        )

    def _count_paths(self) -> None:
        """Count a row that branched one up, with its branches; a row that declined, at 0."""
        branched = {decision.row for decision in self.decisions if decision.branches}
        for number in {decision.row for decision in self.decisions}:
            row = self.rows[number]
            count = row.consecutive + 1 if number in branched else 0
            self.rows[number] = replace(row, consecutive=count)
        for number in range(self.known, len(self.rows)):
            source = self.rows[number].source
            if source is not None:
                count = self.rows[source].consecutive
                self.rows[number] = replace(self.rows[number], consecutive=count)
