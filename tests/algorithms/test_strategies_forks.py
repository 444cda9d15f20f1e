"""Strategies that fork finished rows (CURE, ETTRL) or start from stored ones (DR-PO)."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from agentrl.algorithms.strategies import Cure, Drpo, Ettrl, Fork, ForkStrategy, RolloutStrategy
from agentrl.algorithms.strategies.cure import (
    branch_prompt,
    candidates,
    critical_position,
    shuffled,
)
from agentrl.algorithms.strategies.drpo import rollin_mask
from agentrl.algorithms.strategies.ettrl import fork_positions, token_ratio
from agentrl.algorithms.strategies.strategy import by_entropy
from agentrl.algorithms.strategies.words import word_tokens
from agentrl.errors import ConfigError

ENTROPIES = [9.0, 1.0, 5.0, 3.0, 4.0, 2.0]


def none(count):
    raise AssertionError("no draw was due")


def test_candidates_are_the_uncertain_words_after_the_first_token():
    words = ["Hm", "so", " a", "then", "<end>", " but"]
    allowed = word_tokens(range(6), {4}, words.__getitem__)
    assert allowed == [True, True, False, True, False, True]
    order = by_entropy(ENTROPIES)
    assert order == [0, 2, 4, 3, 5, 1]
    assert candidates(order, allowed, 20) == (3, 5, 1)
    assert candidates(order, allowed, 2) == (3, 5)
    assert candidates([], [], 2) == ()
    assert by_entropy([1.0, 2.0, 2.0]) == [1, 2, 0]


def test_the_choice_is_uniform_and_falls_back_to_the_prompt():
    below = random.Random(3).randrange
    counts = Counter(critical_position((4, 7, 9), below) for _ in range(3000))
    assert set(counts) == {4, 7, 9}
    assert all(abs(count - 1000) < 120 for count in counts.values())
    assert critical_position((), none) == 0


def test_branch_prompt_leaves_the_critical_token_out_and_keeps_the_start():
    assert branch_prompt([1, 2], [3, 4, 5], 2, 10) == (1, 2, 3, 4)
    assert branch_prompt([1, 2], [3, 4, 5], 3, 4) == (1, 2, 3, 4)
    assert branch_prompt([1, 2], [3, 4, 5], 0, 10) == (1, 2)


def test_cure_forks_every_root_once():
    strategy = Cure(roots=2, continuations=3, top_k=2)
    assert strategy.rollouts == 8
    draws = iter([1, 0])
    found = strategy.forks(
        [ENTROPIES, ENTROPIES[:3]], [[True] * 6, [True] * 3], lambda n: next(draws)
    )
    assert found == (Fork(0, 4, 3), Fork(1, 2, 3))
    assert strategy.forks([ENTROPIES], [[False] * 6], none) == (Fork(0, 0, 3),)


def test_cure_at_random_positions_ignores_entropy():
    strategy = Cure(roots=1, top_k=1, order="random")
    below = random.Random(5).randrange
    counts = Counter(
        strategy.forks([ENTROPIES], [[True] * 6], below)[0].position for _ in range(2500)
    )
    assert set(counts) == {1, 2, 3, 4, 5}
    assert all(abs(count - 500) < 90 for count in counts.values())
    assert sorted(shuffled(9, below)) == list(range(9))


def test_fork_positions_are_the_uncertain_ones_in_order():
    assert fork_positions(ENTROPIES, 2) == (0, 2)
    assert fork_positions(ENTROPIES, 2, [False, True, True, False, True, True]) == (2, 4)
    assert fork_positions(ENTROPIES, 9) == (0, 1, 2, 3, 4, 5)


def test_ettrl_never_forks_at_the_first_token():
    strategy = Ettrl(roots=2, fork_count=2, branches=3)
    assert strategy.rollouts == 14
    assert Ettrl().rollouts == 60
    found = strategy.forks([ENTROPIES, [7.0, 1.0]], [[True] * 6, [True] * 2], none)
    assert found == (Fork(0, 2, 3), Fork(0, 4, 3), Fork(1, 1, 3))


def test_token_ratio_is_the_mean_over_uniform_forks():
    assert token_ratio(3, 2) == pytest.approx(4 / 7)
    draw, length = random.Random(1), 1000
    spent = [length + sum(length * draw.random() for _ in range(6)) for _ in range(4000)]
    assert sum(spent) / len(spent) / (7 * length) == pytest.approx(token_ratio(3, 2), abs=0.005)


def test_rollin_lengths_leave_a_unit_and_are_uniform():
    source = random.Random(2)
    strategy = Drpo(reset_probability=0.75)
    counts = Counter(
        strategy.rollin_length(5, source.random, source.randrange) for _ in range(8000)
    )
    assert set(counts) == {0, 1, 2, 3, 4}
    assert all(abs(counts[length] - (2000 if length == 0 else 1500)) < 180 for length in counts)


def test_rollin_draws_do_not_depend_on_their_outcome():
    taken = []
    strategy = Drpo(reset_probability=0.5)

    def below(count):
        taken.append(count)
        return count - 1

    assert strategy.rollin_length(4, lambda: 0.5, below) == 0
    assert strategy.rollin_length(4, lambda: 0.4, below) == 3
    assert strategy.rollin_length(1, lambda: 0.0, below) == 0
    assert taken == [3, 3]
    assert Drpo(reset_probability=0).rollin_length(4, lambda: 0.0, below) == 0
    assert rollin_mask([2, 0], 3) == [[True, True, False], [False, False, False]]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Cure, {"roots": 0}, "roots"),
        (Cure, {"continuations": 0}, "continuations"),
        (Cure, {"top_k": 0}, "top_k"),
        (Cure, {"order": "best"}, "order.*entropy, random"),
        (Ettrl, {"fork_count": 0}, "fork_count"),
        (Ettrl, {"branches": 0}, "branches"),
        (Ettrl, {"roots": 0}, "roots"),
        (Drpo, {"reset_probability": 1.5}, "reset_probability"),
    ],
)
def test_wrong_settings(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(**settings)


@pytest.mark.parametrize("strategy", [Cure(), Ettrl(), Drpo()])
def test_they_are_rollout_strategies(strategy):
    assert isinstance(strategy, RolloutStrategy)
    assert isinstance(strategy, ForkStrategy) == (strategy.name != "drpo")
    assert strategy == type(strategy)()


@pytest.mark.parametrize("strategy", [Cure(), Ettrl()])
def test_roots_and_positions_must_agree(strategy):
    with pytest.raises(ConfigError, match="1 roots, but 2 lists"):
        strategy.forks([[1.0]], [[True], [True]], none)
