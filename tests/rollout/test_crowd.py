"""A pool with more processes than sockets, file limits and descriptor numbers take for granted."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.rollout import descriptors, places
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.types import Task
from tests.rollout.clocked import ENV_ID, ClockedEnv
from tests.rollout.placed import CounterEnv
from tests.rollout.rollouts import run

CROWD = 20


def task(**options: object) -> Task:
    return CounterEnv.panel("train", count=1, **options)[0]


async def play_and_leave(pool: EnvPool, *, hang: bool) -> list[EnvHandle]:
    """Have all environments do a step at once; with `hang` they are given up in the middle."""
    chosen = task(hang=1) if hang else task()
    handles = await asyncio.gather(*(pool.acquire(chosen) for _ in range(pool.size)))
    await asyncio.gather(*(handle.reset(chosen) for handle in handles))
    steps = [asyncio.ensure_future(handle.step("a")) for handle in handles]
    if hang:
        await asyncio.sleep(0.1)
        for step in steps:
            step.cancel()
    await asyncio.gather(*steps, return_exceptions=hang)
    await asyncio.gather(*(handle.close() for handle in handles))
    return list(handles)


def test_processes_start_and_are_killed_together_though_the_sockets_hold_few_messages(
    monkeypatch: pytest.MonkeyPatch,
):
    original = socket.socketpair

    def narrow() -> tuple[socket.socket, socket.socket]:
        pair = original()
        for end in pair:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        return pair

    monkeypatch.setattr(socket, "socketpair", narrow)

    async def main() -> None:
        async with EnvPool(CROWD, env_ids=[CounterEnv.env_id]) as pool:
            await play_and_leave(pool, hang=False)
            await play_and_leave(pool, hang=True)
            assert pool.counts.replaced["failed"] == CROWD
            await play_and_leave(pool, hang=False)
            assert pool.counts.started == 2 * CROWD

    run(main())


def test_only_so_many_resets_are_under_way_that_each_can_meet_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(places, "RESETS_PER_PROCESSOR", 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    async def main() -> list[str]:
        async with EnvPool(12, env_ids=[ENV_ID]) as pool:
            task = ClockedEnv.panel("train")[0]
            handles = await asyncio.gather(*(pool.acquire(task) for _ in range(pool.size)))
            return [text for text, _ in await asyncio.gather(*(h.reset(task) for h in handles))]

    spans = [tuple(map(float, text.split())) for text in run(main())]
    at_once = [sum(began <= start < ended for began, ended in spans) for start, _ in spans]
    assert max(at_once) == 3


def test_a_pool_that_is_closed_while_many_processes_are_being_started_ends_at_once():
    async def main() -> None:
        async with EnvPool(200, env_ids=[CounterEnv.env_id]) as pool:
            starting = [asyncio.ensure_future(pool.acquire(task())) for _ in range(pool.size)]
            await asyncio.sleep(0.05)
        answers = await asyncio.gather(*starting, return_exceptions=True)
        assert any(isinstance(answer, EnvironmentFailure) for answer in answers)
        assert not pool._places.starter._tasks  # none waits for what will not come

    run(main())


def test_a_pool_works_where_descriptors_have_high_numbers(
    monkeypatch: pytest.MonkeyPatch, file_limit: tuple[int, int]
):
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, file_limit[1]))
    original = socket.socketpair

    def high() -> tuple[socket.socket, socket.socket]:
        first, second = original()
        with second:
            number = fcntl.fcntl(second, fcntl.F_DUPFD_CLOEXEC, 1500)
        return first, socket.socket(fileno=number)

    monkeypatch.setattr(socket, "socketpair", high)

    async def main() -> None:
        async with EnvPool(2, env_ids=[CounterEnv.env_id]) as pool:
            await play_and_leave(pool, hang=False)

    run(main())


@pytest.fixture
def file_limit() -> Iterator[tuple[int, int]]:
    """The limits of open files, restored afterwards."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 2048:
        pytest.skip("this process may have too few files open")
    yield limits
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_pool_raises_the_soft_limit_of_open_files_for_its_processes(file_limit: tuple[int, int]):
    soft = descriptors._open_files() + CROWD // 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, file_limit[1]))

    async def main() -> None:
        async with EnvPool(CROWD, env_ids=[CounterEnv.env_id]) as pool:
            await play_and_leave(pool, hang=False)

    run(main())
    assert soft + CROWD // 2 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= file_limit[1]


def test_too_low_a_hard_limit_of_open_files_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1024))

    async def main() -> None:
        async with EnvPool(5000):
            raise AssertionError("entered")

    with pytest.raises(ConfigError, match=r"5000 environment .* have 1024 .*`environment.workers`"):
        run(main())
