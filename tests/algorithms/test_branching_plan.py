"""ARPO and AEPO decide in groups that do not wait for each other as the released rounds do."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms.strategies.branch_state import Segment
from agentrl.algorithms.strategies.branching import Branching
from agentrl.algorithms.strategies.branching_plan import BranchingPlan
from agentrl.algorithms.strategies.branching_rules import AepoRule, ArpoRule, initial_rollouts
from agentrl.algorithms.strategies.plan import GroupFacts, Start

VOCABULARY = 1000
DATA = Path(__file__).parents[1] / "golden" / "data"


@dataclass(frozen=True)
class Turn:
    row: int
    turn: int
    entropies: tuple[float, ...]
    ended: bool
    ids: tuple[int, ...] = ()


def turn(row: int, number: int, entropy: float = 1.0, ended: bool = False) -> Turn:
    return Turn(row, number, (entropy * math.log(VOCABULARY),), ended)


@dataclass
class Stream:
    """Draws one after the other, whatever the place."""

    values: Any

    def random(self) -> float:
        return next(self.values)


@dataclass(frozen=True, kw_only=True)
class StreamFacts(GroupFacts):
    stream: Any = field(default=None)

    def draws(self, *place: object) -> Any:
        return self.stream


def facts(stream: Any = None, seed: int = 0) -> GroupFacts:
    common = {"group_size": 8, "seed": seed, "vocabulary": VOCABULARY, "decode": str}
    return GroupFacts(**common) if stream is None else StreamFacts(**common, stream=stream)


@pytest.mark.parametrize("method", ["arpo", "aepo"])
def test_the_released_run_is_followed_decision_by_decision(method: str) -> None:
    case = json.loads((DATA / f"{method}.branching.json").read_text())
    config = case["config"]
    shared = {key: config[key] for key in ("branch_probability", "entropy_weight")}
    penalty = config.get("penalty_per_consecutive_branch")
    rule = ArpoRule(**shared) if method == "arpo" else AepoRule(**shared, penalty=penalty)
    strategy = Branching(
        rule=rule,
        rollouts=config["n"],
        initial_rollouts=config["initial_rollouts"],
        beam_size=config["beam_size"],
    )
    stream = Stream(iter(decision["u"] for decision in case["inputs"]["decisions"]))
    prompts = {given["sample"] for given in case["inputs"]["segments_per_iteration"][0]}
    plans = [BranchingPlan(strategy, facts(stream)) for _ in prompts]
    rows: list[list[int]] = [[] for _ in plans]  # number in the released run, by prompt and row
    total = 0
    for prompt, plan in enumerate(plans):
        for _ in plan.begin():
            rows[prompt].append(total)
            total += 1
    made = []
    for given in case["inputs"]["segments_per_iteration"]:
        started: list[tuple[bool, int]] = []
        for prompt in dict.fromkeys(segment["sample"] for segment in given):
            for segment in (one for one in given if one["sample"] == prompt):
                row = rows[prompt].index(segment["row"])
                calls = segment["n_tool_results_in_prompt"]
                goes_on = segment["ends_with"] == "tool_call" and calls < config["tool_call_limit"]
                plan = plans[prompt]
                before = plan.decisions
                new = plan.observe(turn(row, calls, segment["entropy"], not goes_on))
                same_round = plan.decisions[: len(before)] == before
                made += plan.decisions[len(before) if same_round else 0 :]
                started += [(start.source is None, prompt) for start in new]
        # The released run numbers the branches of a round before its fresh rows.
        for _, prompt in sorted(started, key=lambda item: item[0]):
            rows[prompt].append(total)
            total += 1
    wanted = case["outputs"]["decision_branch"]
    assert [decision.branches for decision in made] == wanted
    assert [decision.score for decision in made] == pytest.approx(case["outputs"]["decision_prob"])
    assert next(stream.values, None) is None
    assert total == config["n"] * len(plans)


@pytest.mark.parametrize("measure", ["before", "after"])
@pytest.mark.parametrize("counter", ["prompt", "path"])
@pytest.mark.parametrize("top_up", ["one", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_rows_that_go_in_step_decide_as_a_batch_of_one_prompt(
    measure: str, counter: str, top_up: str, seed: int
) -> None:
    strategy = Branching(
        rule=AepoRule(penalty=0.2),
        rollouts=9,
        initial_rollouts=3,
        beam_size=3,
        measure=measure,
        counter=counter,
        top_up=top_up,
    )
    rng = random.Random(seed)
    draws = [rng.random() for _ in range(1000)]
    plan = BranchingPlan(strategy, facts(Stream(iter(draws))))
    plan.begin()
    state, batch = strategy.start(1), iter(draws)
    turns: Counter[int] = Counter()
    while state.active:
        segments = [Segment(row, 2 * rng.random(), rng.random() < 0.3) for row in state.active]
        step = strategy.step(state, segments, lambda: next(batch))
        starts: list[Start] = []
        decided = []
        for number, segment in enumerate(segments):
            before = 0 if number == 0 else len(plan.decisions)
            one = turn(segment.row, turns[segment.row], segment.entropy, segment.ends)
            starts += plan.observe(one)
            decided += plan.decisions[before:]
            turns[segment.row] += 1
        assert [d.branches for d in decided] == [d.branches for d in step.decisions]
        assert [d.score for d in decided] == pytest.approx([d.score for d in step.decisions])
        new = step.state.rows[len(state.rows) :]
        # Fresh rows may come before a branch here, never the other way round.
        assert Counter(start.source for start in starts) == Counter(row.source for row in new)
        for start, row in zip(starts, new, strict=True):
            assert start.source == row.source
            assert start.turn == row.shared == turns_at(start, turns, measure)
            turns[len(state.rows) + starts.index(start)] = row.shared
        for place, row in enumerate(new):
            turns[len(state.rows) + place] = row.shared
        state = step.state
        if state.consecutive != (0,) and not new and counter == "prompt":
            # Alone, the counter is reset; the released batch waits for another prompt's row.
            state = type(state)(state.rows, (0,))


def turns_at(start: Start, turns: Counter[int], measure: str) -> int:
    if start.source is None:
        return 0
    return turns[start.source] - (measure == "after")


def test_every_group_ends_with_exactly_its_rollouts_whatever_the_order() -> None:
    strategy = Branching(rollouts=16, initial_rollouts=8)
    for seed in range(30):
        rng = random.Random(seed)
        plan = BranchingPlan(strategy, facts(seed=seed))
        active = list(range(len(plan.begin())))
        turns = Counter(dict.fromkeys(active, 0))
        total = len(active)
        while active:
            row = rng.choice(active)
            ended = rng.random() < 0.25
            starts = plan.observe(turn(row, turns[row], rng.random() * 2, ended))
            turns[row] += 1
            if ended:
                active.remove(row)
            for start in starts:
                assert start.source is None or start.turn == turns[start.source]
                turns[total] = start.turn
                active.append(total)
                total += 1
        assert total == 16


def test_a_branch_starts_at_the_coming_turn_or_with_the_papers_rule_at_the_one_before() -> None:
    certain = ArpoRule(branch_probability=1.0)
    for measure, wanted in (("before", Start(0, 2)), ("after", Start(0, 1))):
        strategy = Branching(rule=certain, rollouts=4, initial_rollouts=1, measure=measure)
        plan = BranchingPlan(strategy, facts())
        plan.begin()
        first = plan.observe(turn(0, 0))
        assert len(first) == (measure == "before")  # the paper compares with the first segment
        assert plan.observe(turn(0, 1)) == [wanted]


def test_a_lost_row_frees_its_place_and_without_replacement_the_group_shrinks() -> None:
    strategy = Branching(rule=ArpoRule(branch_probability=0.0), rollouts=4, initial_rollouts=2)
    plan = BranchingPlan(strategy, facts())
    plan.begin()
    assert plan.lost(0, replace=True) == []  # row 1 is active, the place is filled when it ends
    assert plan.observe(turn(1, 0, ended=True)) == [Start()]
    assert plan.lost(2, replace=False) == [Start()] and plan.rollouts == 3
    assert plan.observe(turn(3, 0, ended=True)) == [Start()]
    assert plan.observe(turn(4, 0, ended=True)) == []  # rows 1, 3, 4


def test_monitoring_sets_the_rows_from_the_prompt_by_the_entropies_of_a_first_row() -> None:
    strategy = Branching(rollouts=12, monitor=True, beta=2.0, rule=ArpoRule(branch_probability=1))
    plan = BranchingPlan(strategy, facts())
    assert plan.begin() == [Start()]
    entropies = [1.5, 0.2, 0.4]
    for number, entropy in enumerate(entropies[:-1]):
        assert plan.observe(turn(0, number, entropy)) == []  # it measures, it does not branch
    others = plan.observe(turn(0, 2, entropies[-1], ended=True))
    assert others == [Start()] * (initial_rollouts(12, 1.5, entropies, 2.0) - 1)
    assert plan.observe(turn(1, 0))  # from now on rows branch


def test_draws_depend_on_row_and_turn_only() -> None:
    def outcome(order: list[int]) -> dict[int, int]:
        plan = BranchingPlan(Branching(rollouts=64, initial_rollouts=4), facts(seed=3))
        plan.begin()
        return {row: len(plan.observe(turn(row, 0))) for row in order}

    assert outcome([0, 1, 2, 3]) == outcome([2, 0, 3, 1])
