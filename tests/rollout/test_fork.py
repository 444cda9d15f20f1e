"""A running environment is copied into another process, and both go on independently."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import Any

import pytest

from agentrl.envs import TextEnv, env_class
from agentrl.envs.process import children_of
from agentrl.errors import EnvironmentFailure, ReplayMismatch
from agentrl.rollout import handle as handle_module
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.types import Task
from tests.rollout.placed import CounterEnv, ReplayedEnv
from tests.rollout.test_workers import alive, wait_until_gone, zygote_of


@pytest.fixture(autouse=True)
def fork_processes_where_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short episodes are repeated sooner than forked; here each environment has its own way."""
    monkeypatch.setattr(handle_module, "_FORK_FACTOR", 0.0)


BOTH = pytest.mark.parametrize("env", [CounterEnv, ReplayedEnv])


def task(env: type[TextEnv] = CounterEnv, **options: object) -> Task:
    return env.panel("train", count=1, **options)[0]


async def started(pool: EnvPool, chosen: Task, *actions: str) -> EnvHandle:
    handle = await pool.acquire(chosen)
    await handle.reset(chosen)
    for action in actions:
        await handle.step(action)
    return handle


def pid_of(handle: EnvHandle) -> int:
    assert handle._worker is not None
    return handle._worker.pid


async def transcript(handle: EnvHandle, actions: list[str]) -> list[Any]:
    """Return what the actions give, without the process id."""
    results = [await handle.step(action) for action in actions]
    return [(*result[:4], {k: v for k, v in result[4].items() if k != "pid"}) for result in results]


@BOTH
def test_fork_and_original_then_play_like_two_fresh_runs(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(3) as pool:
            generator = random.Random(0)
            for _ in range(10):
                prefix, left, right = (
                    [generator.choice("abc") for _ in range(generator.randrange(5))]
                    for _ in range(3)
                )
                original = await started(pool, task(env), *prefix)
                fork = await original.fork()
                assert pid_of(fork) != pid_of(original)
                played = [await transcript(original, left), await transcript(fork, right)]
                await original.close()
                await fork.close()
                for actions, seen in zip((left, right), played, strict=True):
                    fresh = await started(pool, task(env))
                    assert (await transcript(fresh, prefix + actions))[len(prefix) :] == seen
                    await fresh.close()
            assert pool.counts.forked == 10 * (env is CounterEnv)
            assert pool.counts.replayed == 10 * (env is ReplayedEnv)

    asyncio.run(main())


@BOTH
def test_forks_of_forks_at_the_same_time_are_all_alike(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(8) as pool:
            original = await started(pool, task(env), "a", "b")
            first = await asyncio.gather(*(original.fork() for _ in range(3)))
            second = await asyncio.gather(*(handle.fork() for handle in (original, *first)))
            handles = [original, *first, *second]
            assert len({pid_of(handle) for handle in handles}) == 8
            texts = {repr(await transcript(handle, ["c"])) for handle in handles}
            assert len(texts) == 1
            await asyncio.gather(*(handle.close() for handle in handles))

    asyncio.run(main())


@BOTH
def test_a_fork_lives_on_when_the_original_is_killed(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(2, call_timeout=2) as pool:
            original = await started(pool, task(env), "a")
            fork = await original.fork()
            os.kill(pid_of(original), signal.SIGKILL)
            with pytest.raises(EnvironmentFailure):
                await original.step("b")
            await original.close()
            again = await fork.fork()
            assert await transcript(fork, ["b"]) == await transcript(again, ["b"])

    asyncio.run(main())


@BOTH
def test_a_fork_waits_for_a_place_but_not_for_ever(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(2) as pool:
            original = await started(pool, task(env), "a")
            other = await started(pool, task(env))
            with pytest.raises(EnvironmentFailure, match="No place") as caught:
                await original.fork(timeout=0.1)
            assert caught.value.kind == "timeout"
            waiting = asyncio.create_task(original.fork())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await other.close()
            fork = await waiting
            assert await transcript(fork, ["b"]) == await transcript(original, ["b"])

    asyncio.run(main())


def test_a_process_with_threads_or_children_refuses_and_goes_on():
    async def main() -> None:
        async with EnvPool(2) as pool:
            original = await started(pool, task(child=True), "a")
            with pytest.raises(EnvironmentFailure, match="1 children cannot be forked"):
                await original.fork()
            assert (await original.step("b"))[0].startswith("['a', 'b']")
            await original.close()
            assert pool._places._in_play == 0 and pool._places._budget.taken == 1

    asyncio.run(main())


def test_an_environment_that_is_not_deterministic_is_found_out_and_goes_on():
    async def main() -> None:
        async with EnvPool(2) as pool:
            original = await started(pool, task(ReplayedEnv, fickle=True), "a")
            with pytest.raises(ReplayMismatch, match=r"1 actions of task 'tests/Replayed-v0-0'"):
                await original.fork()
            assert (await original.step("b"))[0].startswith("['a', 'b']")
            await original.close()
            assert pool._places._in_play == 0

    asyncio.run(main())


def test_a_replay_that_hangs_meets_the_deadline_of_its_call():
    async def main() -> None:
        chosen = task(ReplayedEnv)
        async with EnvPool(2, call_timeout=0.3) as pool:
            original = await started(pool, chosen, "a")
            fork = asyncio.create_task(original.fork())
            while not (fork.done() or len(children_of(zygote_of(pool))) == 3):  # with the guard
                await asyncio.sleep(0)
            for pid in children_of(zygote_of(pool)):
                if pid != pid_of(original):
                    os.kill(pid, signal.SIGSTOP)
            with pytest.raises(EnvironmentFailure) as caught:
                await fork
            assert caught.value.kind == "timeout"
            assert (await original.step("b"))[0].startswith("['a', 'b']")

    asyncio.run(main())


@BOTH
def test_a_cancelled_fork_leaves_original_and_places_alone(env: type[TextEnv]):
    async def main() -> None:
        async with EnvPool(2) as pool:
            original = await started(pool, task(env), "a")
            for number in range(30):
                fork = asyncio.create_task(original.fork())
                await asyncio.sleep(0.0003 * number)
                if fork.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await (await fork).close()
                        raise asyncio.CancelledError
                else:
                    await (await fork).close()
            await (await original.fork()).close()
            assert (await original.step("b"))[0].startswith("['a', 'b']")
            await original.close()
            async with asyncio.timeout(5):
                while pool._places._in_play:
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_the_faster_way_is_taken_where_both_are_allowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handle_module, "_FORK_FACTOR", 1.5)

    async def main() -> None:
        async with EnvPool(3) as pool:
            original = await started(pool, task(), "a")
            pool._places.starter.fork_seconds[CounterEnv.env_id] = 10.0
            fork = await original.fork()
            assert (pool.counts.forked, pool.counts.replayed) == (0, 1)
            pool._places.starter.fork_seconds[CounterEnv.env_id] = 1e-9
            again = await fork.fork()
            assert (pool.counts.forked, pool.counts.replayed) == (1, 1)
            assert 1e-4 < pool._places.starter.fork_seconds[CounterEnv.env_id] < 1
            texts = {repr(await transcript(each, ["c"])) for each in (original, fork, again)}
            assert len(texts) == 1

    asyncio.run(main())


def test_there_must_be_something_to_fork():
    async def main() -> None:
        async with EnvPool(1) as pool:
            handle = await pool.acquire(task())
            with pytest.raises(EnvironmentFailure, match="no running environment"):
                await handle.fork()
            await handle.close()
            with pytest.raises(EnvironmentFailure, match="no running environment"):
                await handle.fork()

    asyncio.run(main())


def test_forked_processes_end_with_the_pool_and_with_the_zygote():
    async def main(kill_zygote: bool) -> list[int]:
        async with EnvPool(4, call_timeout=2) as pool:
            original = await started(pool, task())
            forks = [await original.fork() for _ in range(3)]
            pids = [pid_of(handle) for handle in (original, *forks)]
            assert all(alive(pid) for pid in pids)
            if kill_zygote:
                os.kill(zygote_of(pool), signal.SIGKILL)
                await asyncio.sleep(0.3)
                wait_until_gone(pids)
        return pids

    for kill_zygote in (False, True):
        wait_until_gone(asyncio.run(main(kill_zygote)))


def test_the_end_of_a_forked_process_is_reported():
    async def main() -> None:
        async with EnvPool(2) as pool:
            original = await started(pool, task())
            fork = await original.fork()
            os.kill(pid_of(fork), signal.SIGSEGV)
            with pytest.raises(EnvironmentFailure, match="killed by signal 11"):
                await fork.step("a")
            await fork.close()
            await original.close()
            await asyncio.sleep(0.05)
            assert pool._places._budget.taken == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"levels": [105]},
        pytest.param({"levels": [105], "backend": "prose"}, marks=pytest.mark.slow),
    ],
)
def test_a_game_of_textworld_forks_into_another_process(options: dict[str, Any]):
    env = env_class("agentrl/TextWorld-v0")
    game = env.panel("train", count=1, **options)[0]

    async def main() -> None:
        async with EnvPool(2, env_ids=["agentrl/TextWorld-v0"]) as pool:
            original = await pool.acquire(game)
            _, info = await original.reset(game)
            for number in range(6):
                action = random.Random(number).choice(info["admissible_actions"])
                info = (await original.step(action))[4]
            fork = await original.fork()
            for action in info["admissible_actions"][:3]:
                assert await original.step(action) == await fork.step(action)

    asyncio.run(main())
