"""The conformance check of an environment in a worker process (see `agentrl.envs.conformance`)."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from agentrl.envs.base import Placement
from agentrl.envs.conformance.episode import Episode, Turn, difference
from agentrl.envs.conformance.results import Violation
from agentrl.envs.conformance.subject import Subject
from agentrl.envs.process import descendants_of, own_memory_mib
from agentrl.errors import EnvironmentFailure
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.types import Task

_GONE_SECONDS = 5.0
_STOPPED_SECONDS = 0.3
_TOLERATED = 2
"""So many times the memory it names a process may hold (see `EnvPool`)."""


def worker(subject: Subject) -> str:
    """A worker process plays the same episode, meets the deadline, and leaves nothing when killed.

    The process is stopped in the middle of an episode, as one that hangs: the next call must fail
    at its deadline, the process and all it has started must go, and the next episode must work.
    """
    episode = Episode(subject, subject.tasks[0])
    episode.play("worker", subject.limits.steps)
    episode.close()
    return asyncio.run(_play_in_pool(subject, episode))


async def _play_in_pool(subject: Subject, episode: Episode) -> str:
    limit = subject.limits.call_seconds
    ids = [subject.env_id]
    async with EnvPool(2, call_timeout=limit, start_timeout=limit, env_ids=ids) as pool:
        async with pool.lease() as handle:
            await _compare(subject, handle, episode)
            memory = _check_memory(subject, handle)
        async with pool.lease() as handle:
            await _turns(subject, handle, episode.task, [])
            await _hang(subject, pool, handle)
        async with pool.lease() as handle:
            await _compare(subject, handle, episode)
    return f"the same episode, {memory:.0f} MiB; killed at its deadline, nothing left"


async def _compare(subject: Subject, handle: EnvHandle, episode: Episode) -> None:
    turns = await _turns(subject, handle, episode.task, episode.actions)
    changed = difference(episode.turns, turns)
    if changed is not None:
        raise Violation(
            f"In a worker process the episode differs {changed}.",
            "rely on nothing that only the main process has",
        )


def _check_memory(subject: Subject, handle: EnvHandle) -> float:
    """Return the memory of the worker and its children, in MiB; 0 where it cannot be read."""
    assert handle.pid is not None
    held = own_memory_mib(handle.pid) or 0.0
    placement = getattr(subject.env_class, "placement", Placement())
    if held > _TOLERATED * placement.memory_mib:
        raise Violation(
            f"A worker process holds {held:.0f} MiB of its own after one episode; "
            f"`placement.memory_mib` is {placement.memory_mib}, and a process with more than "
            f"{_TOLERATED} times as much is replaced after every episode.",
            f"import what is large in `preload`, or set `placement = "
            f"Placement(memory_mib={math.ceil(held)})`",
        )
    return held


async def _turns(subject: Subject, handle: EnvHandle, task: Task, actions: list[str]) -> list[Turn]:
    subject.notify(f"an episode of task {task.id!r} in a worker process")
    try:
        observation, info = await handle.reset(task)
        turns = [Turn(observation, 0.0, False, False, info)]
        for action in actions:
            turns.append(Turn(*await handle.step(action)))
    except EnvironmentFailure as error:
        raise Violation(
            f"In a worker process: {error}", "rely on nothing that only the main process has"
        ) from error
    return turns


async def _hang(subject: Subject, pool: EnvPool, handle: EnvHandle) -> None:
    """Stop the worker; its next call must fail and leave no process behind."""
    pid = handle.pid
    assert pid is not None
    family = [pid, *descendants_of(pid)]
    os.kill(pid, signal.SIGSTOP)
    usual, pool.call_timeout = pool.call_timeout, _STOPPED_SECONDS
    subject.notify("a call to a worker process that was stopped")
    with suppress(EnvironmentFailure):
        await handle.step("look")
        raise AssertionError("a stopped process answered")
    pool.call_timeout = usual
    deadline = time.monotonic() + _GONE_SECONDS
    while (left := [p for p in family if _alive(p)]) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    if left:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        raise Violation(
            f"{len(left)} of its processes outlive a worker process that is killed.",
            "start child processes in the worker's own process group (no `start_new_session`, no "
            "`setsid`), which is killed with it",
        )


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
