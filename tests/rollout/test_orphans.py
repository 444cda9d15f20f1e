"""What a worker has started ends with it, however the run ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from agentrl.envs.process import children_of, descendants_of
from agentrl.errors import EnvironmentFailure
from agentrl.rollout.workers import EnvPool
from agentrl.types import Task
from tests.rollout.placed import CounterEnv
from tests.rollout.test_workers import ROOT, alive, wait_until_gone, zygote_of


def task(**options: object) -> Task:
    return CounterEnv.panel("train", count=1, **options)[0]


PARENT = """
import asyncio
from agentrl.rollout.workers import EnvPool
from tests.rollout.test_orphans import task
from tests.rollout.test_workers import zygote_of

async def main():
    async with EnvPool(3) as pool:
        handles = [await pool.acquire() for _ in range(3)]
        children = [(await h.reset(task(child=True)))[1]["child"] for h in handles]
        workers = [handle._worker.pid for handle in handles]
        print(zygote_of(pool), *workers, *children, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("victims", ["parent", "zygote", "both", "workers", "all"])
def test_grandchildren_end_when_any_of_the_processes_above_them_are_killed(victims: str):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        zygote, *rest = (int(pid) for pid in parent.stdout.readline().split())
        workers, grandchildren = rest[:3], rest[3:]
        assert all(alive(pid) for pid in (zygote, *rest)) and len(grandchildren) == 3
        killed = {
            "parent": [parent.pid],
            "zygote": [zygote],
            "both": [parent.pid, zygote],
            "workers": workers,
            "all": [parent.pid, zygote, *workers],
        }
        for pid in killed[victims]:
            with suppress(ProcessLookupError):  # it may have followed the one before
                os.kill(pid, signal.SIGKILL)
        wait_until_gone(grandchildren)
        parent.kill()
    wait_until_gone([zygote, *rest])


def test_the_guard_ends_with_the_pool():
    async def main() -> list[int]:
        async with EnvPool(1) as pool:
            return children_of(zygote_of(pool))

    guards = asyncio.run(main())
    assert len(guards) == 1
    wait_until_gone(guards)


def test_a_child_in_a_session_of_its_own_ends_with_a_hanging_worker_and_with_the_pool():
    async def main() -> None:
        async with EnvPool(1) as pool:
            hanging = task(daemon=True, hang=1)
            async with pool.lease(hanging) as handle:
                child = (await handle.reset(hanging))[1]["child"]
                assert alive(child)
                pool.call_timeout = 0.5
                with pytest.raises(EnvironmentFailure):
                    await handle.step("go")
                pool.call_timeout = 30.0
            wait_until_gone([child])
            async with pool.lease(hanging) as handle:
                child = (await handle.reset(hanging))[1]["child"]
                assert handle._worker is not None
                os.kill(handle._worker.pid, signal.SIGKILL)  # so that it is an orphan
            assert alive(child)
        wait_until_gone([child])

    asyncio.run(main())


def test_nothing_is_left_after_many_episodes_with_children():
    async def main() -> None:
        async with EnvPool(2, episodes_per_worker=1) as pool:
            zygote = zygote_of(pool)
            for _ in range(10):
                async with pool.lease() as handle:
                    await handle.reset(task(child=True))
            await asyncio.sleep(0.1)
            assert len(descendants_of(zygote)) <= 1  # the guard

    asyncio.run(main())
