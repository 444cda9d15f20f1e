"""An environment that is closed while it is forked leaves a whole copy behind."""

from __future__ import annotations

import asyncio

import pytest

from agentrl.envs import TextEnv
from agentrl.rollout import handle as handle_module
from agentrl.rollout.workers import EnvHandle, EnvPool, EnvState
from tests.rollout.test_fork import BOTH, pid_of, started, task, transcript


@pytest.fixture(autouse=True)
def fork_processes_where_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle_module, "_FORK_FACTOR", 0.0)


async def check_copy(pool: EnvPool, env: type[TextEnv], copy: EnvHandle, *before: str) -> None:
    """Compare what follows with a fresh run."""
    fresh = await started(pool, task(env), *before)
    assert await transcript(copy, ["x", "y"]) == await transcript(fresh, ["x", "y"])
    await copy.close()
    await fresh.close()


def state_of(handle: EnvHandle, env: type[TextEnv], *actions: str) -> EnvState:
    return EnvState(
        task=task(env),
        actions=actions,
        observation=handle._observation,
        seconds=handle.seconds,
        source=handle,
    )


@BOTH
def test_a_fork_is_whole_whenever_the_original_is_closed(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(3) as pool:
            for number in range(25):
                original = await started(pool, task(env), "a", "b")
                state = state_of(original, env, "a", "b")
                fork = asyncio.create_task(EnvHandle.in_state(pool._places, state))
                for _ in range(number):
                    await asyncio.sleep(0)
                await original.close()
                await check_copy(pool, env, await fork, "a", "b")
            assert pool._places._in_play == 0

    asyncio.run(main())


@BOTH
def test_a_fork_that_waits_for_a_place_does_not_need_the_original_any_more(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(2) as pool:
            original = await started(pool, task(env), "a")
            other = await started(pool, task(env), "b", "b")
            fork = asyncio.create_task(original.fork())
            await asyncio.sleep(0.05)
            assert not fork.done()
            await original.close()
            copy = await fork
            assert pid_of(copy) != pid_of(other)
            await other.close()
            await check_copy(pool, env, copy, "a")
            assert pool._places._in_play == 0

    asyncio.run(main())


@BOTH
def test_an_environment_goes_on_while_a_branch_waits_for_a_place(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(1) as pool:
            original = await started(pool, task(env), "a")
            state = state_of(original, env, "a")
            branch = asyncio.create_task(EnvHandle.in_state(pool._places, state))
            await asyncio.sleep(0.05)
            async with asyncio.timeout(5):
                await original.step("b")
            assert not branch.done()
            await original.close()
            copy = await branch
            assert copy._actions == ["a"]
            await copy.close()
            assert pool._places._in_play == 0

    asyncio.run(main())


@BOTH
def test_a_branch_is_in_its_state_though_a_step_was_waiting_before_it(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(3) as pool:
            original = await started(pool, task(env), "a")

            async def stepped() -> EnvHandle:
                await original.step("b")
                return await EnvHandle.in_state(pool._places, state_of(original, env, "a", "b"))

            first = asyncio.create_task(stepped())
            await asyncio.sleep(0)
            second = asyncio.create_task(original.step("c"))  # waits for the first
            copy = await first
            assert copy._actions == ["a", "b"]
            await second
            await original.close()
            await check_copy(pool, env, copy, "a", "b")
            assert pool._places._in_play == 0

    asyncio.run(main())
