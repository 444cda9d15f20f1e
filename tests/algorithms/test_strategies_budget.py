"""Branching at fixed turns, strategies by name, and strategies cut to a run's group size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from agentrl.algorithms import get
from agentrl.algorithms.strategies import (
    Branching,
    Cure,
    Drpo,
    Ettrl,
    FixedBranching,
    HapoSampler,
    Need,
    RolloutStrategy,
    SizedStrategy,
    for_budget,
)
from agentrl.algorithms.strategies.branching_rules import AepoRule, ArpoRule
from agentrl.algorithms.strategies.control import ControlRollouts
from agentrl.algorithms.strategies.presets import NAMES, rollout_strategy
from agentrl.errors import ConfigError, UnknownNameError


def grown(strategy: FixedBranching, length: int) -> list[tuple[int, ...]]:
    """Play every path for `length` turns; return by path the number of the child at each fork."""
    paths: list[tuple[int, ...]] = [(root,) for root in range(strategy.roots)]
    for turn in range(length):
        new = strategy.branches(turn)
        if new:
            paths = [(*path, child) for path in paths for child in range(1 + new)]
    return paths


@pytest.mark.parametrize(
    ("turns", "children", "roots"), [((0,), 2, 1), ((1, 3), 2, 3), ((0, 1, 5), 3, 2)]
)
def test_a_full_tree_has_the_rollouts_that_are_announced(turns, children, roots):
    strategy = FixedBranching(turns=turns, children=children, roots=roots)
    paths = grown(strategy, length=max(turns) + 1)
    assert len(set(paths)) == len(paths) == strategy.rollouts == roots * children ** len(turns)
    assert len(grown(strategy, length=turns[-1])) == strategy.rollouts // children


def test_fixed_branching_by_hand():
    strategy = FixedBranching(turns=(1, 3), children=3)
    assert [strategy.branches(turn) for turn in range(5)] == [0, 2, 0, 2, 0]
    assert strategy.needs == {Need.TURN_FORK}
    assert isinstance(strategy, RolloutStrategy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"turns": ()}, "turns.*at least one"),
        ({"turns": (2, 2)}, "turns.*ascending"),
        ({"turns": (3, 1)}, r"`turns` is \[3, 1\]"),
        ({"turns": (-1, 1)}, "turns.*at least 0"),
        ({"turns": (0.5,)}, "turns.*whole"),
        ({"turns": 2}, "`turns` is 2"),
        ({"children": 1}, "children.*at least 2"),
        ({"roots": 0}, "roots"),
        ({"roots": True}, "roots"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        FixedBranching(**settings)


@dataclass(frozen=True)
class Plain:
    """A strategy of someone else's, which decides no count."""

    name: ClassVar[str] = "plain"
    needs: ClassVar[frozenset[Need]] = frozenset()


@pytest.mark.parametrize(
    ("strategy", "leaves"),
    [
        (Branching(), 1),
        (Branching(rule=AepoRule(), initial_rollouts=3), 1),
        (Cure(continuations=3), 4),
        (Cure(continuations=1), 2),
        (Ettrl(fork_count=2, branches=3), 7),
        (FixedBranching(turns=(0, 2), children=3), 9),
    ],
)
def test_every_group_size_is_reached_exactly_or_refused_with_the_nearest(strategy, leaves):
    assert isinstance(strategy, SizedStrategy)
    assert for_budget(strategy, None) == strategy == strategy.for_budget(None)
    for size in range(1, 40):
        below, above = size // leaves * leaves, (size // leaves + 1) * leaves
        if below == size:
            assert strategy.for_budget(size).rollouts == size
            continue
        nearest = f"{below} or {above}" if below else f"{above}"
        with pytest.raises(ConfigError, match=f"`rollout.group_size` is {size}.*: {nearest}"):
            for_budget(strategy, size)


@pytest.mark.parametrize("strategy", [Drpo(), HapoSampler(), ControlRollouts(), Plain()])
def test_strategies_without_a_count_of_their_own_take_any_group_size(strategy):
    assert for_budget(strategy, 7) is strategy
    assert for_budget(None, 7) is None


@pytest.mark.parametrize(
    ("initial", "size", "roots"),
    [(None, 16, 8), (None, 12, 6), (None, 1, 1), (None, 5, 2), (8, 4, 4), (3, 16, 3)],
)
def test_half_of_the_group_starts_from_the_prompt_unless_said_otherwise(initial, size, roots):
    strategy = Branching(initial_rollouts=initial).for_budget(size)
    assert strategy.roots == roots
    assert len(strategy.start(2).rows) == 2 * roots


def test_every_name_gives_its_strategy_at_the_defaults():
    found = {name: rollout_strategy(name) for name in NAMES}
    assert found == {
        "independent": None,
        "arpo": Branching(),
        "aepo": Branching(rule=AepoRule()),
        "cure": Cure(),
        "ettrl": Ettrl(),
        "drpo": Drpo(),
        "fixed": FixedBranching(),
        "hapo": HapoSampler(),
    }
    assert all(rollout_strategy({"name": name}) == value for name, value in found.items())


def test_fields_are_those_of_the_strategy_and_of_its_rule():
    fixed = rollout_strategy({"name": "fixed", "turns": [1, 3], "children": 2})
    assert fixed == FixedBranching(turns=(1, 3), children=2)
    assert hash(fixed) == hash(FixedBranching(turns=(1, 3)))
    branching = rollout_strategy(
        {"name": "aepo", "penalty": 0.1, "entropy_weight": 0.3, "beam_size": 4, "counter": "path"}
    )
    rule = AepoRule(penalty=0.1, entropy_weight=0.3)
    assert branching == Branching(rule=rule, beam_size=4, counter="path")


def test_an_algorithm_takes_a_strategy_by_name():
    assert get("grpo", rollout="cure").rollout == Cure()
    assert get("arpo", rollout="independent").rollout is None
    given = {"name": "arpo", "branch_probability": 0.3}
    assert get("dapo", rollout=given).rollout == Branching(rule=ArpoRule(branch_probability=0.3))
    assert get("grpo", rollout=Drpo()).rollout == Drpo()


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ("fxed", UnknownNameError, "rollout strategy 'fxed'.*Did you mean 'fixed'"),
        ({"name": "cure", "rots": 3}, UnknownNameError, "'cure'.*Did you mean 'roots'"),
        ({"name": "arpo", "penalty": 0.1}, UnknownNameError, "'arpo' 'penalty'"),
        ({"name": "arpo", "rule": "aepo"}, UnknownNameError, "'rule'"),
        ({"name": "independent", "roots": 3}, UnknownNameError, "'roots'.*none"),
        ({"turns": [1]}, ConfigError, "must have a `name`.*independent, arpo"),
        ({"name": "cure", "roots": 1.5}, ConfigError, "`roots` is 1.5.*whole"),
        ({"name": "fixed", "turns": 3}, ConfigError, "`turns` is 3"),
    ],
)
def test_a_wrong_name_field_or_value_is_named(choice, error, message):
    with pytest.raises(error, match=message):
        get("grpo", rollout=choice)
