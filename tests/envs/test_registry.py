"""The registry: names to environments, ours and everybody's."""

from __future__ import annotations

import asyncio

import gymnasium
import pytest

from agentrl import envs
from agentrl.errors import ConfigError, EnvironmentFailure, UnknownNameError
from agentrl.rollout.workers import EnvPool
from tests.envs.corridor import Corridor


def test_registered_environments_are_listed_with_a_description():
    names = dict(envs.listing())
    assert names["agentrl/TextWorld-v0"].startswith("TextWorld games")
    assert list(names) == sorted(names)


def test_an_environment_is_also_known_to_gymnasium():
    env = gymnasium.make("tests/Corridor-v0")
    assert isinstance(env.unwrapped, Corridor)
    assert env.reset(seed=0)[0] == "1 steps to go."


def test_make_gives_the_bare_environment():
    assert type(envs.make("tests/Corridor-v0")) is Corridor


def test_a_class_from_any_gymnasium_registration_is_found():
    gymnasium.register("thirdparty/Corridor-v3", "tests.envs.corridor:Corridor")
    assert envs.env_class("thirdparty/Corridor-v3") is Corridor


def test_twenty_lines_of_user_code_run_in_a_worker_process():
    async def main() -> float:
        async with EnvPool(1, env_ids=["tests/Corridor-v0"]) as pool, pool.lease() as handle:
            await handle.reset(Corridor.panel("train")[0])
            return (await handle.step("walk"))[1]

    assert asyncio.run(main()) == 1.0


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"Did you mean 'agentrl/TextWorld-v0'.*agentrl envs"
    ):
        envs.make("agentrl/Textworld-v0")
    with pytest.raises(UnknownNameError, match="Unknown environment"):
        envs.env_class("agentrl/TextWorld-v9")


@pytest.mark.parametrize("name", ["NoNamespace-v0", "agentrl/NoVersion", "a b/c-v0"])
def test_a_malformed_id_is_refused(name: str):
    with pytest.raises(ConfigError, match="id"):
        envs.register(name, "tests.envs.corridor:Corridor", description="")


def test_registering_a_name_twice_is_an_error():
    with pytest.raises(ConfigError, match="already registered"):
        envs.register("tests/Corridor-v0", "tests.envs.corridor:Corridor", description="")


def test_an_entry_point_that_cannot_be_imported_is_named():
    envs.register("tests/Missing-v0", "tests.envs.corridor:NoSuchClass", description="")
    with pytest.raises(ConfigError, match="NoSuchClass"):
        envs.env_class("tests/Missing-v0")


def test_a_constructor_that_raises_is_an_environment_failure():
    with pytest.raises(EnvironmentFailure, match="takes no arguments"):
        envs.make("tests/Corridor-v0", no_such_argument=1)
