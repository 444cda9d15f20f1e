"""Strategies that cannot be carried out are refused when the configuration is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms.strategies.presets import rollout_strategy
from agentrl.envs import TextEnv, env_class
from agentrl.envs.textworld import TextWorldEnv
from agentrl.errors import ConfigError
from agentrl.plans import can_fork, check_strategy
from tests.envs.corridor import Corridor
from tests.training.runs import CORRIDOR, write_config

AFTER_TURNS = ("arpo", "aepo", "fixed")
INSIDE_ANSWERS = ("cure", "ettrl")


def check(name: str, env: type[TextEnv] = Corridor, extra_episodes: int = 0) -> None:
    check_strategy(rollout_strategy(name), env, "tests/Corridor-v0", extra_episodes)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((name, "after its turns") for name in AFTER_TURNS),
        *((name, "inside its answers") for name in INSIDE_ANSWERS),
    ],
)
def test_branching_needs_an_environment_that_can_be_forked(name: str, where: str):
    with pytest.raises(ConfigError) as caught:
        check(name)
    assert str(caught.value) == (
        f"The rollout strategy {name!r} branches an episode {where}, but the environment "
        "'tests/Corridor-v0' cannot be forked. Define `fork` in its class (see "
        "docs/environments/own.md), or choose independent episodes with "
        "`algorithm.options.rollout=independent`."
    )


@pytest.mark.parametrize("name", ["independent", "drpo", "hapo"])
def test_without_branches_nothing_is_forked(name: str):
    check(name)


@pytest.mark.parametrize("name", [*AFTER_TURNS, *INSIDE_ANSWERS])
def test_the_environments_of_agentrl_can_be_branched_in(name: str):
    for env in ("ALFWorld", "ScienceWorld", "TextWorld", "WebShop"):
        check(name, env_class(f"agentrl/{env}-v0"))


def test_a_class_of_ones_own_can_be_forked_if_it_says_how():
    class Plain:
        pass

    class Forks(Plain):
        def fork(self) -> Any:
            return self

    assert not can_fork(Plain) and can_fork(Forks)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*AFTER_TURNS, *INSIDE_ANSWERS, "drpo"])
def test_a_strategy_that_plans_its_episodes_takes_no_extra_ones(name: str):
    with pytest.raises(
        ConfigError, match=rf"`rollout\.extra_episodes` is 2, .* {name!r} decides .*; set it to 0"
    ):
        check(name, TextWorldEnv, extra_episodes=2)


@pytest.mark.parametrize("name", ["independent", "hapo"])
def test_other_strategies_may_have_extra_episodes(name: str):
    check(name, extra_episodes=2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algorithm.name=arpo"], "'arpo' branches an episode after its turns"),
        (["algorithm.name=cure"], "'cure' branches an episode inside its answers"),
        (["algorithm.name=drpo", "rollout.extra_episodes=2"], "`rollout.extra_episodes` is 2"),
    ],
)
def test_a_run_says_so_in_one_line(
    run_agentrl: Any, tmp_path: Path, overrides: list[str], message: str
):
    status, _, error = run_agentrl("train", str(write_config(tmp_path, CORRIDOR)), *overrides)
    last = error.strip().splitlines()[-1]
    assert status == 2 and "Traceback" not in error
    assert last.startswith("agentrl: ") and message in last
    assert not (tmp_path / "run" / "checkpoints").exists()
