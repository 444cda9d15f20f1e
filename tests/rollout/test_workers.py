"""Environment worker processes: isolation, deadlines, and no process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agentrl.envs import INFO_KEYS
from agentrl.errors import ConfigError, EnvironmentFailure
from agentrl.rollout.workers import EnvPool
from agentrl.types import Task
from tests.envs.corridor import Corridor
from tests.envs.faulty import ENV_ID, KINDS, FaultyEnv
from tests.rollout.placed import CounterEnv

ROOT = Path(__file__).parents[2]
FAILURE_KIND = {
    "raise": "raised",
    "hang": "timeout",
    "exit": "died",
    "garbage": "contract",
    "types": "contract",
}


def faulty(seed: int = 0, **options: object) -> Task:
    return FaultyEnv.panel("train", count=seed + 1, **options)[seed]


async def play(pool: EnvPool, task: Task) -> float:
    async with pool.lease() as handle:
        await handle.reset(task)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = await handle.step("go")
            total += reward
            over = terminated or truncated
        return total


def zygote_of(pool: EnvPool) -> int:
    zygote = pool._places.starter.zygote
    assert zygote is not None and zygote._process is not None
    return zygote._process.pid


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until_gone(pids: list[int], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if alive(pid)]


def test_an_environment_that_behaves_is_played_to_the_end_in_a_reused_process():
    async def main() -> None:
        async with EnvPool(2, env_ids=("tests/Corridor-v0",)) as pool:
            for task in Corridor.panel("train"):
                async with pool.lease() as handle:
                    observation, info = await handle.reset(task)
                    steps = 1 + task.seed % 3
                    assert observation == f"{steps} steps to go."
                    assert set(info) == set(INFO_KEYS)
                    assert info["task_id"] == task.id and info["task"] == "Walk on."
                    for number in range(1, steps + 1):
                        result = await handle.step("walk")
                        assert result[4]["step"] == number
                    assert result[1:4] == (1.0, True, False)
            assert pool.started == 1

    asyncio.run(main())


@pytest.mark.parametrize("call", ["reset", "step"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_is_one_typed_failure_and_the_pool_goes_on(kind: str, call: str):
    async def main() -> None:
        async with EnvPool(1, call_timeout=1.0, env_ids=[ENV_ID]) as pool:
            with pytest.raises(EnvironmentFailure) as caught:
                await play(pool, faulty(kinds=[kind], rate=1.0, at=call))
            assert caught.value.kind == FAILURE_KIND[kind]
            assert f"`{call}` of environment 'tests/Faulty-v0', task 'faulty-0'" in str(
                caught.value
            )
            assert await play(pool, faulty(rate=0.0)) == 1.0
            assert pool.started == 2

    asyncio.run(main())


def test_messages_say_what_the_environment_did():
    async def main() -> None:
        async with EnvPool(1, call_timeout=5) as pool:
            texts = {}
            for kind in ("raise", "exit", "types"):
                with pytest.raises(EnvironmentFailure) as caught:
                    await play(pool, faulty(kinds=[kind], rate=1.0))
                texts[kind] = str(caught.value)
        assert "RuntimeError: this environment is broken" in texts["raise"]
        assert "in _misbehave" in texts["raise"]
        assert "exited with code 3" in texts["exit"]
        assert "finite number as reward" in texts["types"]

    asyncio.run(main())


def test_messages_of_any_length_arrive_whole():
    async def main() -> None:
        async with EnvPool(1) as pool, pool.lease() as handle:
            await handle.reset(CounterEnv.panel("train", count=1)[0])
            actions: list[str] = []
            for size in (0, 1, 4000, 4096, 16300, 16384, 100, 300_000, 1):
                actions.append("é" * size)
                observation = (await handle.step(actions[-1]))[0]
                assert observation.rpartition(" ")[0] == str(actions)

    asyncio.run(main())


def test_siblings_of_failing_episodes_finish():
    async def main() -> Counter[str]:
        async with EnvPool(4, call_timeout=1.0, env_ids=[ENV_ID]) as pool:
            tasks = FaultyEnv.panel("heldout", count=40)
            results = await asyncio.gather(
                *(play(pool, task) for task in tasks), return_exceptions=True
            )
        return Counter(
            result.kind if isinstance(result, EnvironmentFailure) else "finished"
            for result in results
            if isinstance(result, EnvironmentFailure | float)
        )

    counts = asyncio.run(main())
    assert sum(counts.values()) == 40
    assert counts["finished"] > 5
    assert set(counts) == {"finished", *FAILURE_KIND.values()}


def test_no_process_survives_the_pool():
    async def main() -> list[int]:
        async with EnvPool(4) as pool:
            hanging = faulty(kinds=["hang"], rate=1.0)
            handles = [await pool.acquire(hanging) for _ in range(4)]
            await handles[0].reset(hanging)
            call = asyncio.create_task(handles[0].step("go"))
            await handles[1].reset(hanging)
            pids = [handle._worker.pid for handle in handles if handle._worker]
            pids.append(zygote_of(pool))
            assert all(alive(pid) for pid in pids)
            started = time.monotonic()
            await pool.close()
            assert time.monotonic() - started < 5
            with pytest.raises(EnvironmentFailure):
                await call
        return pids

    wait_until_gone(asyncio.run(main()))


PARENT = """
import asyncio
from agentrl.rollout.workers import EnvPool
from tests.envs.faulty import FaultyEnv
from tests.rollout.test_workers import zygote_of

async def main():
    async with EnvPool(2, call_timeout=100) as pool:
        handles = [await pool.acquire() for _ in range(2)]
        for handle in handles:
            await handle.reset(FaultyEnv.panel("train", kinds=["hang"], rate=1.0)[0])
        pids = [handle._worker.pid for handle in handles] + [zygote_of(pool)]
        print(*pids, flush=True)
        await handles[0].step("go")

asyncio.run(main())
"""


def test_all_processes_die_when_the_parent_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3 and all(alive(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    wait_until_gone(pids)


def test_workers_die_when_the_process_that_forked_them_is_killed():
    async def main() -> None:
        async with EnvPool(1, call_timeout=20) as pool:
            async with pool.lease() as handle:
                await handle.reset(faulty(kinds=["hang"], rate=1.0))
                assert handle._worker is not None
                pid = handle._worker.pid
                call = asyncio.create_task(handle.step("go"))
                await asyncio.sleep(0.05)
                os.kill(zygote_of(pool), signal.SIGKILL)
                with pytest.raises(EnvironmentFailure) as caught:
                    await call
                assert caught.value.kind == "died"
            with pytest.raises(EnvironmentFailure):
                await pool.acquire(faulty())
            wait_until_gone([pid])

    asyncio.run(main())


def test_a_cancelled_call_does_not_disturb_the_next_episode():
    async def main() -> None:
        async with EnvPool(1) as pool:
            call = asyncio.create_task(play(pool, faulty(kinds=["hang"], rate=1.0)))
            await asyncio.sleep(0.3)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await play(pool, faulty(rate=0.0)) == 1.0
            assert pool.started == 2

    asyncio.run(main())


def test_a_process_is_replaced_after_its_share_of_episodes():
    async def main() -> None:
        async with EnvPool(1, episodes_per_worker=2) as pool:
            for _ in range(5):
                await play(pool, faulty(rate=0.0))
            assert pool.started == 3

    asyncio.run(main())


def test_output_of_environments_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    async def main() -> None:
        async with EnvPool(1, log_path=tmp_path / "environments.log") as pool:
            with pytest.raises(EnvironmentFailure):
                await play(pool, faulty(kinds=["garbage"], rate=1.0))

    asyncio.run(main())
    assert "raw bytes" in (tmp_path / "environments.log").read_text(errors="replace")
    assert capfd.readouterr() == ("", "")


def test_workers_import_no_torch():
    code = (
        "import sys, agentrl.envs.zygote, agentrl.envs.textworld; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_module_that_cannot_be_imported_is_one_clear_error():
    async def main() -> None:
        async with EnvPool(1, preload=("agentrl.no_such_module",)):
            pass

    with pytest.raises(ConfigError, match=r"No module named 'agentrl.no_such_module'"):
        asyncio.run(main())
