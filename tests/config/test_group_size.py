"""How many episodes a group has: what the run says, or else the algorithm's strategy."""

from __future__ import annotations

import pytest

from agentrl import assembly
from agentrl.config import load_config
from agentrl.errors import ConfigError, UnknownNameError


def size(*overrides: str) -> int:
    config = load_config(None, list(overrides))
    return assembly.group_size(config, assembly.build_algorithm(config))


def test_a_name_alone_gives_the_papers_group() -> None:
    assert size("algorithm.name=aepo") == size("algorithm.name=arpo") == 16
    assert size("algorithm.name=cure") == 16
    assert size("algorithm.name=ettrl") == 60
    assert size("algorithm.name=dapo") == 8


def test_the_runs_group_size_is_the_strategys_budget() -> None:
    config = load_config(None, ["algorithm.name=aepo", "rollout.group_size=6"])
    algorithm = assembly.build_algorithm(config)
    assert assembly.group_size(config, algorithm) == 6
    assert (algorithm.rollout.rollouts, algorithm.rollout.roots) == (6, 3)
    assert size("algorithm.name=dapo", "rollout.group_size=5") == 5
    assert size("algorithm.name=cure", "rollout.group_size=8") == 8


def test_trees_must_fill_the_group() -> None:
    with pytest.raises(ConfigError, match=r"rollout.group_size.* 6.*multiple of 4.*4 or 8"):
        size("algorithm.name=cure", "rollout.group_size=6")


def test_any_method_takes_any_strategy() -> None:
    fixed = "algorithm.options.rollout={name: fixed, turns: [1, 3], children: 2, roots: 2}"
    assert size("algorithm.name=gigpo", fixed) == 8
    assert size("algorithm.name=aepo", "algorithm.options.rollout=independent") == 8
    with pytest.raises(UnknownNameError, match="fixed"):
        size("algorithm.options.rollout=fixd")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rollout.unfinished=drop", "one of 'cut', 'continue'"),
        ("rollout.extra_tasks=-1", "integer >= 0"),
        ("rollout.episode_timeout=-1", "seconds >= 0"),
        ("rollout={unfinished: continue, deterministic: true}", "depends on the clock"),
    ],
)
def test_limits_are_checked_when_they_are_read(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


def test_groups_that_are_set_aside_leave_places_for_the_evaluation() -> None:
    overrides = ["rollout.unfinished=continue", "rollout.extra_tasks=4", "rollout.group_size=8"]
    config = load_config(None, [*overrides, "environment.workers=32"])
    with pytest.raises(ConfigError, match=r"environment.workers.* is 32"):
        assembly.check(config, assembly.build_panels(config)[0])
