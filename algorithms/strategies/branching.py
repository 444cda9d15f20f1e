"""ARPO and AEPO: rows branch after tool results, the more readily the more entropy has risen.

A scheduler keeps a `BranchState`, reports finished segments with `Branching.step`, and starts the
rows that come back.  Every prompt ends with exactly `rollouts` rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from agentrl.algorithms.checks import one_of, whole
from agentrl.algorithms.strategies.branch_state import BranchState, Round, Row, Segment, Step
from agentrl.algorithms.strategies.branching_plan import BranchingPlan
from agentrl.algorithms.strategies.branching_rules import ArpoRule, BranchingRule
from agentrl.algorithms.strategies.plan import GroupFacts, Plan
from agentrl.algorithms.strategies.strategy import Need, Uniform
from agentrl.errors import ConfigError

MEASURES = ("before", "after")
COUNTERS = ("prompt", "path")
TOP_UPS = ("one", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Branching:
    """Entropy-based branching of unfinished rows.

    A row that goes on after its segment may branch up to `beam_size` - 1 times, each with a draw
    of its own, while its prompt has slots.  The change of entropy is taken against the first
    segment of the row itself, which for a branch is the first one after the fork.  A prompt whose
    rows have all ended gets fresh rows from its prompt.

    Source: RUC-NLPIR/ARPO, `vLLMRolloutWithTools.generate_sequences`.  There first entropies
    stay from batch to batch; here `start` begins with none.

    Attributes:
        rule: turns the change of entropy into a chance: `ArpoRule` or `AepoRule`.
        rollouts: n, rows per prompt in the end.
        initial_rollouts: rows per prompt at the start, cut to 1..n; None is half of n (the
            released scripts have 8 of 16, and 6 of 12).
        beam_size: 1 never branches.
        measure: `before` decides after a tool result by the segment that called the tool, as the
            released code does.  `after` decides by the segment that follows the result, and
            forks before that segment, as the paper says; branches then inherit the entropy of
            the path's first segment.
        counter: consecutive branchings are counted per `prompt` (released code: one more in a
            round in which the prompt got any row, 0 if only others did) or per `path` (paper).
        top_up: fresh rows of a prompt without active rows: `one` per round, or `all` at once.
        monitor: set the number of rows at the start by `branching_rules.initial_rollouts`, from
            the entropies of a first row (AEPO's dynamic rollouts).
        beta: slope of that rule.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY, Need.TURN_FORK})
    rule: BranchingRule = field(default_factory=ArpoRule)
    rollouts: int = 16
    initial_rollouts: int | None = None
    beam_size: int = 2
    measure: str = "before"
    counter: str = "prompt"
    top_up: str = "one"
    monitor: bool = False
    beta: float = 0.5

    def __post_init__(self) -> None:
        whole("rollouts", self.rollouts, 1)
        if self.initial_rollouts is not None:
            whole("initial_rollouts", self.initial_rollouts, 1)
        whole("beam_size", self.beam_size, 1)
        one_of("measure", self.measure, MEASURES)
        one_of("counter", self.counter, COUNTERS)
        one_of("top_up", self.top_up, TOP_UPS)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def forks_before(self) -> bool:
        """Whether a branch forks before the segment that decided on it, rather than after it."""
        return self.measure == "after"

    @property
    def roots(self) -> int:
        """Rows of a prompt at the start, in 1..`rollouts`."""
        wanted = self.rollouts // 2 if self.initial_rollouts is None else self.initial_rollouts
        return max(1, min(wanted, self.rollouts))

    def for_budget(self, group_size: int | None) -> Branching:
        """Return the strategy with `rollouts` of the group's size; see `SizedStrategy`."""
        return self if group_size is None else replace(self, rollouts=group_size)

    def start(self, prompts: int, initial: Sequence[int] | None = None) -> BranchState:
        """Return the state of a new batch, with the rows that start from prompts.

        Args:
            prompts: how many prompts share the state.  A scheduler that does not go through a
                batch in rounds keeps one state per prompt.
            initial: rows at the start by prompt (`branching_rules.initial_rollouts`).
        """
        wanted = [self.roots] * prompts if initial is None else list(initial)
        if len(wanted) != prompts:
            raise ConfigError(f"`initial` has {len(wanted)} entries for {prompts} prompts.")
        counts = [max(1, min(count, self.rollouts)) for count in wanted]
        rows = [Row(prompt) for prompt, count in enumerate(counts) for _ in range(count)]
        return BranchState(rows=tuple(rows), consecutive=(0,) * prompts)

    def step(self, state: BranchState, segments: Sequence[Segment], draw: Uniform) -> Step:
        """Take in finished segments and return what to start, and the state after it.

        Prompts are served in the order of their first segment, a prompt's rows in the order of
        the segments.  New rows get the next free numbers, branches before fresh rows.

        Args:
            state: of the batch.
            segments: at most one per row, of active rows.
            draw: one uniform number per decision.
        """
        if len({segment.row for segment in segments}) < len(segments):
            raise ConfigError("a step takes at most one segment per row.")
        this = Round(state, not self.forks_before)
        self.serve(this, segments, draw)
        return this.finish(per_path=self.counter == "path")

    def serve(self, this: Round, segments: Sequence[Segment], draw: Uniform) -> None:
        """Take segments into a round: branch, and start fresh rows where none is active."""
        for segment in segments:
            this.report(segment)
        reported = this.by_prompt(segments)
        for prompt, own in reported.items():
            self._branch(this, prompt, own, draw)
        self.top_up_idle(this, reported)

    def top_up_idle(self, this: Round, prompts: Iterable[int]) -> None:
        """Start fresh rows for those of the prompts that have no active row, if any are left."""
        for prompt in this.idle(prompts):
            missing = self.rollouts - this.count(prompt)
            for _ in range(min(missing, 1) if self.top_up == "one" else missing):
                this.start_fresh(prompt)

    def plan(self, facts: GroupFacts) -> Plan:
        """Return the plan of one group, whose rows do not wait for each other."""
        return BranchingPlan(self, facts)

    def _branch(self, this: Round, prompt: int, segments: Sequence[Segment], draw: Uniform) -> None:
        slots = self.rollouts - this.count(prompt)
        for segment in segments:
            if not this.may_branch(segment):
                continue
            for _ in range(min(self.beam_size - 1, slots)):
                change, consecutive = this.evidence(segment, per_path=self.counter == "path")
                score = self.rule.score(draw(), change, consecutive)
                branches = self.rule.branches(score)
                this.decide(segment, score, branches)
                slots -= branches
