"""Intervals are Wilson's where episodes are independent, and cover what they should elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.evaluation.interval import effective_trials, success_interval, wilson_interval


@given(st.lists(st.sampled_from([0.0, 1.0]), max_size=60))
def test_one_episode_per_task_gives_wilson_over_tasks(outcomes: list[float]) -> None:
    interval = success_interval([[outcome] for outcome in outcomes])
    assert interval == pytest.approx(wilson_interval(sum(outcomes), len(outcomes)))


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40), st.integers(1, 8))
def test_repeating_episodes_that_all_end_alike_tells_nothing_new(
    outcomes: list[float], repeats: int
) -> None:
    once = success_interval([[outcome] for outcome in outcomes])
    again = success_interval([[outcome] * repeats for outcome in outcomes])
    assert again == pytest.approx(once)


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6), max_size=30))
def test_the_interval_holds_the_rate_and_its_trials_lie_between_tasks_and_episodes(
    groups: list[list[float]],
) -> None:
    means = [sum(group) / len(group) for group in groups]
    low, high = success_interval(groups)
    assert 0.0 <= low <= high <= 1.0
    if means:
        assert low - 1e-9 <= sum(means) / len(means) <= high + 1e-9
    trials = effective_trials(means, sum(map(len, groups)))
    assert len(groups) <= trials <= max(len(groups), sum(map(len, groups)))


def test_it_covers_the_true_rate_where_an_interval_over_episodes_does_not() -> None:
    """Tasks differ in difficulty (beta distributed); 40 tasks, 8 episodes each, 600 panels."""
    rng = np.random.default_rng(0)
    a, b = 0.6, 0.4
    covered = naive = 0
    for _ in range(600):
        rates = rng.beta(a, b, size=40)
        wins = rng.random((40, 8)) < rates[:, None]
        low, high = success_interval(wins.astype(float).tolist())
        covered += low <= a / (a + b) <= high
        low, high = wilson_interval(float(wins.sum()), wins.size)
        naive += low <= a / (a + b) <= high
    assert covered / 600 > 0.93
    assert naive / 600 < 0.80
