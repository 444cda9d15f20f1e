"""No Java process outlives the process it was started for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentrl.envs.process import children_of
from agentrl.envs.scienceworld import scienceworld_panel
from agentrl.rollout.workers import EnvPool
from agentrl.types import Task

pytest.importorskip("scienceworld", reason="needs the extra `scienceworld`")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc"
)

ENV_ID = "agentrl/ScienceWorld-v0"
WAIT_SECONDS = 30.0
ALONE = """
import sys
from agentrl.envs.scienceworld import ScienceWorldEnv, pool
env = ScienceWorldEnv()
env.reset(options={"task": "melt"})
print(*pool.processes(), flush=True)
if sys.argv[1] == "wait":
    sys.stdin.read()
if sys.argv[1] == "fail":
    raise RuntimeError
"""
POOLED = """
import asyncio, sys
from agentrl.rollout.workers import EnvPool
from agentrl.envs.scienceworld import scienceworld_panel

async def main():
    panel = scienceworld_panel("train", count=2)
    async with EnvPool(2, call_timeout=300, env_ids=["agentrl/ScienceWorld-v0"]) as pool:
        handles = [await pool.acquire() for _ in panel]
        await asyncio.gather(*(h.reset(task) for h, task in zip(handles, panel)))
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def java_below(pid: int) -> set[int]:
    """Return the simulators that a process or its descendants have started."""
    found = set()
    for child in children_of(pid):
        found |= java_below(child)
        if is_java(child):
            found.add(child)
    return found


def is_java(pid: int) -> bool:
    try:
        return b"py4j.GatewayServer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_until_gone(pids: set[int]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while any(is_java(pid) for pid in pids):
        assert time.monotonic() < end, f"Java is still there: {pids}"
        time.sleep(0.05)


def run(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit", "fail"])
def test_java_ends_with_an_interpreter_that_ends(end: str):
    with run(ALONE, end) as process:
        pids = {int(pid) for pid in first_line(process).split()}
    assert len(pids) == 1
    wait_until_gone(pids)


@pytest.mark.slow
def test_java_ends_when_its_interpreter_is_killed():
    with run(ALONE, "wait") as process:
        pids = {int(pid) for pid in first_line(process).split()}
        assert len(pids) == 1 and all(map(is_java, pids))
        process.kill()
    wait_until_gone(pids)


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True])
def test_java_ends_when_the_process_with_the_worker_pool_is_killed(stopped: bool):
    """Also a Java that reads no input any more."""
    with run(POOLED) as process:
        assert first_line(process) == "ready"
        pids = java_below(process.pid)
        assert len(pids) >= 2
        for pid in pids if stopped else ():
            os.kill(pid, signal.SIGSTOP)
        process.kill()
    wait_until_gone(pids)


async def play_one(pool: EnvPool, task: Task) -> None:
    async with pool.lease() as handle:
        await handle.reset(task)
        *_, info = await handle.step("look around")
        assert info["step"] == 1


async def play_all(tasks: list[Task], size: int) -> tuple[set[int], set[int]]:
    """Play tasks; return the simulators seen, and those there just before the pool closes."""
    seen: set[int] = set()
    async with EnvPool(size, call_timeout=300, env_ids=(ENV_ID,), episodes_per_worker=60) as pool:
        for start in range(0, len(tasks), size):
            batch = tasks[start : start + size]
            await asyncio.gather(*(play_one(pool, task) for task in batch))
            seen |= java_below(os.getpid())
        last = java_below(os.getpid())
    return seen, last


@pytest.mark.slow
def test_eight_workers_start_at_once():
    tasks = list(scienceworld_panel("train", count=8))
    seen, last = asyncio.run(play_all(tasks, 8))
    assert len(last) >= 8
    wait_until_gone(seen)


@pytest.mark.slow
def test_after_100_episodes_no_java_is_left():
    tasks = list(scienceworld_panel("train", task_types=["4-1", "4-2", "7-1"], count=100, seed=0))
    seen, last = asyncio.run(play_all(tasks, 2))
    assert 0 < len(last) <= 4, "workers share no simulators and keep no old ones"
    wait_until_gone(seen)
