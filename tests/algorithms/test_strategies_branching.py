"""ARPO's and AEPO's branching: closed forms, hand-made rounds, and whole random rollouts."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from agentrl.algorithms.strategies import Need, RolloutStrategy
from agentrl.algorithms.strategies.branch_state import Segment
from agentrl.algorithms.strategies.branching import Branching
from agentrl.algorithms.strategies.branching_rules import (
    AepoRule,
    ArpoRule,
    initial_rollouts,
    segment_entropy,
    top_entropy,
)
from agentrl.errors import ConfigError

NEVER, ALWAYS = ArpoRule(branch_probability=0), ArpoRule(branch_probability=1)


def given(*values):
    """Draws in the order given; asking for one more is an error."""
    return iter(values).__next__


def none():
    raise AssertionError("no draw was due")


@pytest.mark.parametrize("change", [-3.0, -0.4, 0.0, 0.7, 4.0])
@pytest.mark.parametrize("count", [0, 1, 5, 20, 30])
@pytest.mark.parametrize(
    "rule",
    [
        ArpoRule(),
        ArpoRule(branch_probability=1),
        ArpoRule(branch_probability=0),
        AepoRule(),
        AepoRule(branch_probability=0),
        AepoRule(branch_probability=0.3, entropy_weight=0.1, penalty=0.02),
    ],
)
def test_drawn_decisions_have_the_closed_probability(rule, change, count):
    draws = 4000
    uniform = random.Random(7).random
    hits = sum(rule.branches(rule.score(uniform(), change, count)) for _ in range(draws))
    expected = rule.probability(change, count)
    assert hits / draws == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(draws))
    if expected in (0, 1):
        assert hits == expected * draws


def test_aepo_penalty_by_hand():
    chances = [AepoRule().probability(0.0, count) for count in (0, 1, 2, 5, 10, 20)]
    assert chances == pytest.approx([0.5, 0.474, 0.444, 0.333, 0.0, 0.0], abs=5e-4)


def test_segment_entropy_sums_the_first_tokens():
    uniform = [math.log(0.5)] * 2
    tokens = [top_entropy(uniform)] * 30
    assert tokens[0] == pytest.approx(math.log(2))
    assert segment_entropy(tokens, vocabulary=2) == pytest.approx(20)
    assert segment_entropy(tokens[:3], vocabulary=4, window=5) == pytest.approx(1.5)
    assert segment_entropy([], vocabulary=4) == 0
    assert top_entropy([0.0, -math.inf]) == 0


def test_initial_rollouts_follow_the_certainty_of_tool_steps():
    assert initial_rollouts(12, 1.0, [1.0, 1.0]) == 7  # half, and one
    assert initial_rollouts(12, 1.0, []) == 7
    assert initial_rollouts(12, 50.0, [0.0]) == 12
    assert initial_rollouts(12, 0.0, [50.0]) == 1


def test_first_segments_change_nothing_and_later_ones_count_from_them():
    strategy = Branching(rollouts=3, initial_rollouts=1)
    step = strategy.step(strategy.start(1), [Segment(0, 2.0)], given(0.6))
    assert step.decisions[0].score == 0.6
    assert not step.forks
    step = strategy.step(step.state, [Segment(0, 2.5)], given(0.6))
    assert step.decisions[0].score == pytest.approx(0.6 - 0.2 * 0.5)
    assert step.forks == (1,)
    branch = step.state.rows[1]
    assert (branch.source, branch.shared, branch.first_entropy) == (0, 2, None)
    step = strategy.step(step.state, [Segment(0, 9.0, ends=True), Segment(1, 7.0)], given(0.6))
    assert step.decisions[0].score == 0.6  # the branch is compared with its own first segment


def test_measuring_after_the_result_forks_before_the_segment():
    strategy = Branching(rule=ALWAYS, rollouts=3, initial_rollouts=1, measure="after")
    step = strategy.step(strategy.start(1), [Segment(0, 2.0)], none)
    assert not step.decisions
    step = strategy.step(step.state, [Segment(0, 3.0, ends=True)], given(0.1))
    branch = step.state.rows[step.forks[0]]
    assert (branch.source, branch.shared, branch.segments) == (0, 1, 1)
    assert branch.first_entropy == 2.0
    assert step.state.active == (1,)
    step = strategy.step(step.state, [Segment(1, 2.5, ends=True)], given(0.9))
    assert step.decisions[0].score == pytest.approx(0.9 - 0.2 * 0.5)


def test_ended_rows_do_not_branch_and_an_idle_prompt_gets_one_fresh_row():
    strategy = Branching(rule=ALWAYS, rollouts=4, initial_rollouts=1)
    step = strategy.step(strategy.start(2), [Segment(0, 1.0, ends=True), Segment(1, 1.0)], given(0))
    assert (step.forks, step.fresh) == ((2,), (3,))
    assert [step.state.rows[row].prompt for row in (2, 3)] == [1, 0]
    everything = Branching(rule=NEVER, rollouts=4, initial_rollouts=1, top_up="all")
    step = everything.step(everything.start(1), [Segment(0, 1.0, ends=True)], none)
    assert step.fresh == (1, 2, 3)


def test_beam_size_limits_the_branches_of_a_row_and_slots_those_of_a_prompt():
    strategy = Branching(rule=ALWAYS, rollouts=4, initial_rollouts=2, beam_size=4)
    step = strategy.step(strategy.start(1), [Segment(0, 1.0), Segment(1, 1.0)], given(0, 0))
    assert [step.state.rows[row].source for row in step.forks] == [0, 0]
    single = Branching(rule=ALWAYS, beam_size=1, initial_rollouts=1)
    assert not single.step(single.start(1), [Segment(0, 1.0)], none).forks


def test_counter_of_a_prompt():
    strategy = Branching(rule=AepoRule(), rollouts=9, initial_rollouts=1)
    step = strategy.step(strategy.start(2), [Segment(0, 1.0), Segment(1, 1.0)], given(0.9, 0.1))
    assert step.state.consecutive == (1, 0)
    step = strategy.step(step.state, [Segment(0, 1.0)], given(0.6))
    assert step.decisions[0].score == pytest.approx(0.6 * 0.95)
    assert step.state.consecutive == (2, 0)
    step = strategy.step(step.state, [Segment(0, 1.0)], given(0.1))
    assert step.state.consecutive == (2, 0)  # nothing was created
    step = strategy.step(step.state, [Segment(1, 1.0, ends=True)], none)
    assert step.fresh
    assert step.state.consecutive == (0, 1)


def test_counter_of_a_path():
    strategy = Branching(rule=AepoRule(), rollouts=9, initial_rollouts=2, counter="path")
    step = strategy.step(strategy.start(1), [Segment(0, 1.0), Segment(1, 1.0)], given(0.9, 0.1))
    assert [row.consecutive for row in step.state.rows] == [1, 0, 1]
    step = strategy.step(step.state, [Segment(2, 1.0)], given(0.9))
    assert step.decisions[0].score == pytest.approx(0.9 * 0.95)
    assert [row.consecutive for row in step.state.rows] == [1, 0, 2, 2]
    step = strategy.step(step.state, [Segment(0, 1.0)], given(0.1))
    assert [row.consecutive for row in step.state.rows] == [0, 0, 2, 2]


def play(strategy, prompts, seed, share=1.0):
    """Play random segments to the end, reporting about `share` of the active rows at a time."""
    source = random.Random(seed)
    state = strategy.start(prompts)
    log = []
    while state.active:
        told = [row for row in state.active if source.random() < share] or [state.active[0]]
        segments = [Segment(row, 4 * source.random(), source.random() < 0.4) for row in told]
        step = strategy.step(state, segments, source.random)
        log.append(step)
        state = step.state
    return state, log


VARIANTS = itertools.product(
    ["before", "after"], ["prompt", "path"], ["one", "all"], [1, 2, 4], [1, 3, 7], [1.0, 0.4]
)


@pytest.mark.parametrize(("measure", "counter", "top_up", "beam", "initial", "share"), VARIANTS)
def test_every_prompt_ends_with_n_rows(measure, counter, top_up, beam, initial, share):
    strategy = Branching(
        rule=AepoRule(branch_probability=0.2),
        rollouts=6,
        initial_rollouts=initial,
        beam_size=beam,
        measure=measure,
        counter=counter,
        top_up=top_up,
    )
    state, log = play(strategy, prompts=3, seed=beam + initial, share=share)
    assert [len(state.rows_of(prompt)) for prompt in range(3)] == [6, 6, 6]
    for number, row in enumerate(state.rows):
        if row.source is not None:
            assert row.source < number
            assert 1 <= row.shared <= state.rows[row.source].segments
            assert state.rows[row.source].prompt == row.prompt
    new = [number for step in log for number in (*step.forks, *step.fresh)]
    first = 3 * min(initial, 6)
    assert sorted(new) == list(range(first, 18))
    assert play(strategy, prompts=3, seed=beam + initial, share=share)[0] == state


def test_it_is_a_rollout_strategy():
    strategy = Branching(rule=AepoRule())
    assert isinstance(strategy, RolloutStrategy)
    assert (strategy.name, Branching().name) == ("aepo", "arpo")
    assert strategy.needs == {Need.ENTROPY, Need.TURN_FORK}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rollouts": 0}, "rollouts"),
        ({"beam_size": 0}, "beam_size"),
        ({"measure": "during"}, "measure.*before, after"),
        ({"counter": "row"}, "counter"),
        ({"top_up": "two"}, "top_up"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        Branching(**settings)


def test_wrong_reports():
    strategy = Branching(initial_rollouts=1)
    state = strategy.start(1)
    for segments in ([Segment(1, 0.0)], [Segment(-1, 0.0)], [Segment(0, 0.0), Segment(0, 1.0)]):
        with pytest.raises(ConfigError, match="row"):
            strategy.step(state, segments, none)
    with pytest.raises(ConfigError, match="2 entries for 1"):
        strategy.start(1, [1, 2])
    ended = strategy.step(state, [Segment(0, 0.0, ends=True)], none).state
    with pytest.raises(ConfigError, match="not an active row"):
        strategy.step(ended, [Segment(0, 0.0)], none)
