"""Which process an episode gets: reuse, spares, memory, and first come, first served."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agentrl.envs import Placement, TextEnv, register
from agentrl.envs.process import children_of, own_memory_mib
from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.rollout import memory
from agentrl.rollout.placement import Kind
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.types import Task
from tests.rollout.placed import BrokenEnv, CounterEnv, LargeEnv, ReplayedEnv, SlowEnv
from tests.rollout.test_workers import zygote_of


def task(env: type[TextEnv] = CounterEnv, seed: int = 0, **options: object) -> Task:
    return env.panel("train", count=seed + 1, **options)[seed]


async def pid_after(pool: EnvPool, chosen: Task) -> int:
    async with pool.lease(chosen) as handle:
        return int((await handle.reset(chosen))[1]["pid"])


async def until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


@contextmanager
def seconds_below(limit: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < limit


def test_an_episode_gets_a_process_that_has_played_its_task_rather_than_another():
    async def main() -> None:
        async with EnvPool(3) as pool:
            tasks = [task(seed=seed) for seed in range(3)]
            handles = [await pool.acquire(each) for each in tasks]
            pids = []
            for handle, each in zip(handles, tasks, strict=True):
                pids.append((await handle.reset(each))[1]["pid"])
            for handle in handles:
                await handle.close()
            for number in (1, 0, 2, 0, 1):
                assert await pid_after(pool, tasks[number]) == pids[number]
            assert await pid_after(pool, task(seed=7)) in pids
            assert (pool.counts.started, pool.counts.reused) == (3, 6)

    asyncio.run(main())


def test_a_process_plays_one_environment_only_and_makes_room_for_others():
    async def main() -> None:
        async with EnvPool(1) as pool:
            first = await pid_after(pool, task())
            second = await pid_after(pool, task(ReplayedEnv))
            assert first != second != await pid_after(pool, task())
            assert pool.counts.replaced == {"room": 2}

    asyncio.run(main())


def test_a_handle_may_play_another_environment_after_the_first():
    async def main() -> None:
        async with EnvPool(2) as pool, pool.lease() as handle:
            for env in (CounterEnv, ReplayedEnv, CounterEnv):
                observation, _ = await handle.reset(task(env))
                assert observation.startswith("[]")

    asyncio.run(main())


def test_a_process_is_replaced_after_the_episodes_its_environment_allows():
    async def main() -> None:
        async with EnvPool(1, memory_gib=2, episodes_per_worker=100) as pool:
            pids = [await pid_after(pool, task(LargeEnv)) for _ in range(5)]
            assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
            assert pool.counts.replaced == {"episodes": 2}

    asyncio.run(main())


def test_a_process_that_holds_more_than_twice_its_memory_is_replaced():
    async def main() -> None:
        async with EnvPool(1) as pool:
            modest = [await pid_after(pool, task(leak_mib=1)) for _ in range(3)]
            assert len(set(modest)) == 1
            await asyncio.sleep(1.1)  # memory is measured at most once a second
            assert await pid_after(pool, task(leak_mib=100)) == modest[0]
            assert pool.counts.replaced == {"memory": 1}
            assert await pid_after(pool, task()) != modest[0]

    asyncio.run(main())


def test_children_count_for_the_memory_of_a_process():
    async def main() -> None:
        async with EnvPool(1) as pool, pool.lease() as handle:
            await handle.reset(task(child=True))
            worker = handle._worker
            assert worker is not None
            await asyncio.sleep(0.3)
            (child,) = children_of(worker.pid)
            own, childs = own_memory_mib(worker.pid), own_memory_mib(child)
            assert own is not None and childs is not None
            assert own > childs > 1

    asyncio.run(main())


def test_spares_are_warm_before_they_are_asked_for():
    async def main() -> None:
        async with EnvPool(2, env_ids=[SlowEnv.env_id]) as pool:
            await until(lambda: len(pool._places._idle) == 2)
            for _ in range(3):  # the third time, the first process has come back
                handle = await pool.acquire(task(SlowEnv))
                _, info = await handle.reset(task(SlowEnv))
                assert info["warmed"] == 1
                await handle.close()
            assert pool.counts.spares == 2 + 1
            assert pool.counts.reused == 3  # found idle

    asyncio.run(main())


def test_a_spare_takes_the_place_of_a_process_that_was_killed():
    async def main() -> None:
        async with EnvPool(1, env_ids=[SlowEnv.env_id]) as pool:
            await until(lambda: len(pool._places._idle) == 2)
            hanging = task(SlowEnv, hang=1)
            for _ in range(2):
                async with pool.lease(hanging) as handle:
                    pool.call_timeout = 30.0
                    await handle.reset(hanging)
                    pool.call_timeout = 0.3
                    with pytest.raises(EnvironmentFailure):
                        await handle.step("go")
                before = pool.counts.reused
                handle = await pool.acquire(hanging)
                assert pool.counts.reused == before + 1
                await handle.close()
                await until(lambda: len(pool._places._idle) == 2)

    asyncio.run(main())


def test_an_episode_waits_for_a_spare_that_is_being_warmed_up_rather_than_start_another():
    async def main() -> None:
        async with EnvPool(1, env_ids=[SlowEnv.env_id]) as pool:
            handle = await pool.acquire(task(SlowEnv))
            await handle.reset(task(SlowEnv))
            await until(lambda: not pool._places._starts)
            assert pool.counts.started == pool.counts.spares == 3  # itself was the first of them
            await handle.close()

    asyncio.run(main())


def test_a_failing_warm_up_is_said_once_on_the_episode_that_needs_it_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "java"
    monkeypatch.setenv("BROKEN_ENV_FILE", str(file))

    async def main() -> None:
        async with EnvPool(2, env_ids=[BrokenEnv.env_id]) as pool:
            await until(lambda: bool(pool._places._spare_failures))
            assert pool.counts.started == 1  # the pool does not try on and on
            for started in (1, 2):  # the failed spare's own failure, then that of another start
                with pytest.raises(EnvironmentFailure) as caught:
                    await pool.acquire(task(BrokenEnv))
                assert caught.value.kind == "raised"
                assert (
                    "`warm` of environment 'tests/Broken-v0': RuntimeError: there is no Java"
                    in (str(caught.value))
                )
                assert pool.counts.started == started
            file.touch()
            await pid_after(pool, task(BrokenEnv))
            await until(lambda: bool(pool._places._idle) and not pool._places._starts)
            assert pool._places._in_play == 0

    asyncio.run(main())


def test_a_warm_up_that_hangs_fails_at_its_deadline(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        async with EnvPool(1, start_timeout=10, env_ids=[CounterEnv.env_id]) as pool:
            pool._places.starter.start_timeout = 0.2
            with seconds_below(8), pytest.raises(EnvironmentFailure) as caught:
                await pool.acquire(task(SlowEnv))
            assert caught.value.kind == "timeout"
            assert "no answer within 0.2 s" in str(caught.value)
            await pid_after(pool, task())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("setting", "placement", "seconds"), [(0.0, None, 30), (0.0, 0.2, 0.2), (0.2, 50.0, 0.2)]
)
def test_a_call_may_take_what_the_setting_says_else_the_environment_else_half_a_minute(
    setting: float, placement: float | None, seconds: float, monkeypatch: pytest.MonkeyPatch
):
    own = Placement(memory_mib=24, fork_process=True, call_timeout=placement)
    monkeypatch.setattr(CounterEnv, "placement", own)

    async def main() -> None:
        async with EnvPool(1, call_timeout=setting, env_ids=[CounterEnv.env_id]) as pool:
            assert pool._places.deadline(CounterEnv.env_id) == seconds
            async with pool.lease() as handle:
                if seconds < 1:
                    await handle.reset(task(hang=1))
                    with seconds_below(8), pytest.raises(EnvironmentFailure, match=r"in 0\.2 s"):
                        await handle.step("go")

    asyncio.run(main())


def test_the_memory_limits_the_episodes_at_a_time():
    assert EnvPool(8, memory_gib=3.5, env_ids=[LargeEnv.env_id]).size == 3
    assert EnvPool(2, memory_gib=3.5, env_ids=[LargeEnv.env_id]).size == 2
    assert EnvPool(8, memory_gib=3.5, env_ids=[CounterEnv.env_id]).size == 8


def test_memory_that_does_not_suffice_for_one_process_is_an_error_before_the_start():
    with pytest.raises(ConfigError, match=r"'tests/Large-v0' takes 1024 MiB.*may take 512 MiB"):
        EnvPool(2, memory_gib=0.5, env_ids=[LargeEnv.env_id])
    with pytest.raises(ConfigError, match="`memory_gib` is -1"):
        EnvPool(2, memory_gib=-1)


def test_who_does_not_fit_waits_in_the_order_of_asking():
    async def main() -> list[int]:
        order: list[int] = []

        async def play(pool: EnvPool, number: int) -> None:
            env = LargeEnv if number % 3 else CounterEnv
            async with pool.lease(task(env)) as handle:
                order.append(number)
                await handle.reset(task(env))
                await asyncio.sleep(0.01)

        async with EnvPool(4, memory_gib=2.1) as pool, asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(play(pool, number))
                await asyncio.sleep(0)
        assert pool.counts.waited > 0
        return order

    order = asyncio.run(main())
    # Grants are in order; a start takes longer than finding an idle process, by one place or two.
    assert all(abs(number - place) <= 2 for place, number in enumerate(order)), order


def test_one_who_gives_up_waiting_does_not_hold_up_the_next():
    async def main() -> None:
        async with EnvPool(1) as pool:
            first = await pool.acquire(task())
            with pytest.raises(EnvironmentFailure, match=r"No place .* within 0\.1 s") as caught:
                await pool.acquire(task(), timeout=0.1)
            assert caught.value.kind == "timeout"
            waiting = asyncio.create_task(pool.acquire(task()))
            cancelled = asyncio.create_task(pool.acquire(task()))
            await asyncio.sleep(0.01)
            cancelled.cancel()
            await first.close()
            second = await waiting
            await second.close()
            await pid_after(pool, task())
            assert pool._places._in_play == 0

    asyncio.run(main())


def test_one_cancelled_in_the_moment_of_the_grant_leaves_the_place_to_others():
    async def main() -> None:
        async with EnvPool(1) as pool:
            for _ in range(20):
                first = await pool.acquire(task())
                waiting = asyncio.create_task(pool.acquire(task()))
                await asyncio.sleep(0)
                closing = asyncio.create_task(first.close())
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)
                waiting.cancel()
                await closing
                with pytest.raises(asyncio.CancelledError):
                    handle = await waiting
                    await handle.close()  # the grant was faster
                    raise asyncio.CancelledError
                assert pool._places._in_play == 0

    asyncio.run(main())


def test_closing_the_pool_fails_those_who_wait():
    async def main() -> None:
        async with EnvPool(1) as pool:
            handle = await pool.acquire(task())
            waiting = asyncio.create_task(pool.acquire(task()))
            starting = asyncio.create_task(handle.fork())
            await asyncio.sleep(0.01)
            await pool.close()
            for call in (waiting, starting):
                with pytest.raises(EnvironmentFailure):
                    await call

    with seconds_below(20):
        asyncio.run(main())


def workers_of(pool: EnvPool) -> list[int]:
    workers = []
    for pid in children_of(zygote_of(pool)):
        with suppress(OSError):  # it has just ended
            if b"agentrl.envs.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes():
                workers.append(pid)
    return workers


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_storm_of_kills_hangs_forks_and_cancellations_never_exceeds_the_caps(seed: int):
    envs = (CounterEnv, ReplayedEnv, SlowEnv)
    size, most = 5, 6  # 6 processes of 24 MiB; with spares there could be 7
    generator = random.Random(seed)
    outcomes: list[str] = []

    async def episode(pool: EnvPool, number: int) -> None:
        chosen = task(generator.choice(envs), number % 3, hang=generator.choice([0, 0, 0, 2]))
        forks: list[EnvHandle] = []
        try:
            async with pool.lease(chosen) as handle:
                await handle.reset(chosen)
                await handle.step("one")
                if generator.random() < 0.3:
                    forks.append(await handle.fork(timeout=generator.choice([0.1, 2.0])))
                if generator.random() < 0.2:
                    assert handle._worker is not None
                    os.kill(handle._worker.pid, signal.SIGKILL)
                for each in (handle, *forks):
                    await each.step("two")
            outcomes.append("finished")
        except EnvironmentFailure as error:
            outcomes.append(error.kind)
        finally:
            for each in forks:
                await asyncio.shield(each.close())

    async def watch(pool: EnvPool) -> None:
        while True:
            assert len(workers_of(pool)) <= most
            assert pool._places._in_play <= size
            await asyncio.sleep(0.003)

    async def main() -> None:
        ids = [env.env_id for env in envs]
        memory_gib = most * 24 / 1024
        pool = EnvPool(size, memory_gib=memory_gib, call_timeout=0.3, env_ids=ids)
        async with pool:
            watcher = asyncio.create_task(watch(pool))
            episodes = [asyncio.create_task(episode(pool, number)) for number in range(50)]
            for number in range(0, 50, 7):
                await asyncio.sleep(0.05)
                episodes[number].cancel()
            async with asyncio.timeout(40):
                await asyncio.gather(*episodes, return_exceptions=True)
            assert not watcher.done(), watcher.exception()
            watcher.cancel()
            assert pool._places._in_play == 0
            await until(lambda: not pool._places._starts and not pool._places._leaving)
            budget, idle = pool._places._budget, len(pool._places._idle)
            assert (budget.taken, budget.taken_mib) == (idle, 24 * idle)

    asyncio.run(main())
    assert len(outcomes) >= 40 and {"finished", "timeout", "died"} <= set(outcomes)


class Plain:
    """An environment that does not derive from ours."""


def test_a_class_that_does_not_derive_from_ours_has_the_default_placement():
    register("tests/Plain-v0", Plain, description="Plain.")
    kind = Kind.of("tests/Plain-v0")
    assert kind.placement == Placement() and not kind.warms
    assert not Kind.of(CounterEnv.env_id).warms and Kind.of(SlowEnv.env_id).warms


def test_limits_of_control_groups_count(tmp_path: Path):
    membership = tmp_path / "cgroup"
    membership.write_text("9:memory:/a/b\n0::/c\n")
    for folder, limit, used, files in (
        ("memory/a", "memory.limit_in_bytes", "memory.usage_in_bytes", 300 << 20),
        ("memory/a/b", "memory.limit_in_bytes", "memory.usage_in_bytes", 2**62),
        ("c", "memory.max", "memory.current", 500 << 20),
    ):
        path = tmp_path / folder
        path.mkdir(parents=True)
        (path / limit).write_text(str(files))
        (path / used).write_text(str(100 << 20))
        (path / "memory.stat").write_text(f"inactive_file {50 << 20}\ntotal_inactive_file 0\n")
    assert sorted(memory._group_limits_mib(membership, tmp_path)) == [200.0, 450.0]
    (tmp_path / "c" / "memory.max").write_text("max\n")
    assert memory._group_limits_mib(membership, tmp_path) == [200.0]
    assert memory._group_limits_mib(tmp_path / "none", tmp_path) == []


def test_the_memory_of_this_machine_is_known():
    assert 1 < memory.available_mib() < float("inf")
    share = memory.memory_budget_mib(0) / memory.available_mib()
    assert share == pytest.approx(memory.SHARE_OF_AVAILABLE, rel=0.2)
    assert memory.memory_budget_mib(2) == 2048
