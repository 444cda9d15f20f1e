"""Checks that need many calls: odd actions, and memory over many episodes.

They go through `agentrl.envs.worker.Worker`, the code that answers calls in a worker process.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium

from agentrl.envs.base import Info
from agentrl.envs.conformance.episode import Episode, Turn, choose, difference
from agentrl.envs.conformance.fuzz import odd_text
from agentrl.envs.conformance.results import NotApplicable, Violation
from agentrl.envs.conformance.subject import Subject
from agentrl.envs.contract import plain_number
from agentrl.envs.process import descendants_of
from agentrl.envs.worker import Worker
from agentrl.types import Task

_ALLOWED_MORE = 5
"""So many more open files or child processes than after the warm-up are no leak."""


class _Driver:
    """Plays episode after episode through a worker's code."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._worker = Worker()
        self.turn = Turn("", 0.0, True, False, {})
        self.goal = ""
        self.episodes = 0

    def reset(self) -> None:
        """Start the next of the subject's tasks."""
        task = self.subject.tasks[self.episodes % len(self.subject.tasks)]
        self.episodes += 1
        spec = gymnasium.registry[task.env_id]
        cls = self.subject.env_class
        entry_point = f"{cls.__module__}:{cls.__qualname__}"
        environment = [spec.id, entry_point, spec.kwargs]
        self.subject.notify(f"`reset` of task {task.id!r}")
        call = {"call": "reset", "task": task.to_json(), "environment": environment}
        observation, info = self._answer(call, f"`reset` of task {task.id!r}")
        self.turn = Turn(observation, 0.0, False, False, info)
        self.goal = str(info["task"])

    def step(self, action: str) -> None:
        """Send an action; afterwards `turn` is what came back."""
        shown = repr(action if len(action) <= 80 else action[:80] + "...")
        place = f"`step({shown})` of {len(action)} characters"
        self.subject.notify(place)
        self.turn = Turn(*self._answer({"call": "step", "action": action}, place))

    @property
    def over(self) -> bool:
        """True if the next call must be `reset`."""
        return self.turn.terminated or self.turn.truncated

    def close(self) -> None:
        """Close the environment."""
        self._answer({"call": "close"}, "`close()`")

    def _answer(self, message: Mapping[str, Any], place: str) -> Any:
        received = json.loads(json.dumps(message))
        answer = json.loads(json.dumps(self._worker.answer(received), default=plain_number))
        if "error" in answer:
            raise Violation(
                f"{place} of an odd-action or memory run: {answer['error']}",
                "answer every text; where it is no action, say so in the observation and set "
                'info["action_valid"] to False',
            )
        return answer["value"]


def fuzz(subject: Subject) -> str:
    """Odd actions neither crash nor hang it, and leave later episodes as they were."""
    task, rng = subject.tasks[0], random.Random(0)
    before = _sample(subject, task)
    driver = _Driver(subject)
    invalid = 0
    for number in range(subject.limits.fuzz_actions):
        if driver.over or number % 100 == 0:
            driver.reset()
        driver.step(odd_text(rng, driver.turn.info["admissible_actions"] or []))
        invalid += not _valid(driver.turn.info)
    driver.close()
    changed = difference(before, _sample(subject, task))
    if changed is not None:
        raise Violation(
            f"After {subject.limits.fuzz_actions} odd actions a new episode of task {task.id!r} "
            f"differs from one before them: {changed}.",
            "keep the state of an episode in the environment object, not in the module or class",
        )
    return f"{subject.limits.fuzz_actions:,} actions, {invalid:,} of them refused"


def memory(subject: Subject) -> str:
    """Memory, open files and child processes do not grow over many episodes."""
    if sys.platform != "linux":
        raise NotApplicable("memory is read from /proc, which only Linux has")
    count = subject.limits.memory_episodes
    driver, rng = _Driver(subject), random.Random(0)
    _episodes(driver, rng, max(2 * len(subject.tasks), count // 10), subject.limits.steps)
    before = _usage()
    _episodes(driver, rng, count, subject.limits.steps)
    after = _usage()
    driver.close()
    growth = (after["memory"] - before["memory"]) / 2**20
    if growth > subject.limits.memory_mib:
        raise Violation(
            f"The process grew by {growth:.1f} MiB over {count} episodes; at most "
            f"{subject.limits.memory_mib:g} MiB are accepted.",
            "free in `close` what `reset` makes; give caches a size; or, for a leak in a library, "
            "set `placement = Placement(episodes_per_worker=...)` and accept the finding",
        )
    for name in ("open files", "child processes"):
        if after[name] - before[name] > _ALLOWED_MORE:
            raise Violation(
                f"The process has {after[name]} {name} after {count} episodes, and had "
                f"{before[name]} before them.",
                "end or close in `close` what `reset` starts or opens",
            )
    return f"{growth:+.1f} MiB over {count} episodes"


def _episodes(driver: _Driver, rng: random.Random, count: int, steps: int) -> None:
    for _ in range(count):
        driver.reset()
        for _ in range(steps):
            if driver.over:
                break
            driver.step(choose(rng, driver.turn, driver.goal))


def _usage() -> dict[str, int]:
    """Return what this process holds, after freed memory has gone back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE"),
        "open files": len(os.listdir("/proc/self/fd")),
        "child processes": len(descendants_of(os.getpid())),
    }


def _sample(subject: Subject, task: Task) -> list[Turn]:
    """Return an episode of fixed actions, to compare with."""
    episode = Episode(subject, task)
    episode.play("sample", 3)
    episode.close()
    return episode.turns


def _valid(info: Info) -> bool:
    return bool(info["action_valid"])
