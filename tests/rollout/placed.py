"""Environments that show how the pool places them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any, ClassVar

from agentrl.envs import Placement, TextEnv, register
from agentrl.envs.textworld.prompts import CompactPrompt
from agentrl.types import Task, TaskPanel

GRANDCHILD = "import time; time.sleep(60)"


class CounterEnv(TextEnv):
    """Counts its steps; `info` tells about the process.

    Options: `hang` (a step of that number hangs), `leak_mib` (kept by the process at reset),
    `child` (starts a process that ignores everything but SIGKILL).
    """

    prompt = CompactPrompt()
    placement: ClassVar[Placement] = Placement(memory_mib=24, fork_process=True)
    warmed = 0
    kept: ClassVar[list[bytes]] = []
    env_id = "tests/Counter-v0"

    @classmethod
    def panel(cls, split: str, count: int = 4, **options: Any) -> TaskPanel:
        tasks = [
            Task(id=f"{cls.env_id}-{seed}", env_id=cls.env_id, seed=seed, options=options)
            for seed in range(count)
        ]
        return TaskPanel.of("counter", tasks)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.options = options or {}
        self.steps: list[str] = []
        self.child = 0
        if self.options.get("leak_mib"):
            self.kept.append(os.urandom(self.options["leak_mib"] << 20))
        if self.options.get("child"):
            self.child = subprocess.Popen([sys.executable, "-c", GRANDCHILD]).pid
        if self.options.get("daemon"):
            daemon = subprocess.Popen([sys.executable, "-c", GRANDCHILD], start_new_session=True)
            self.child = daemon.pid
        return self._text(), self._info()

    def step(self, action: str) -> Any:
        self.steps.append(action)
        if len(self.steps) == self.options.get("hang"):
            time.sleep(60)
        return self._text(), 0.0, False, False, self._info()

    def _text(self) -> str:
        # The generator of the environment is part of its state, too.
        return f"{self.steps} {int(self.np_random.integers(10**9))}"

    def _info(self) -> dict[str, Any]:
        return {"task": "count", "pid": os.getpid(), "warmed": self.warmed, "child": self.child}


class ReplayedEnv(CounterEnv):
    """The same, copied by replay; with option `fickle` it is not deterministic."""

    placement: ClassVar[Placement] = Placement(memory_mib=24)
    env_id = "tests/Replayed-v0"

    def _text(self) -> str:
        return super()._text() + (f" {os.getpid()}" if self.options.get("fickle") else "")


class SlowEnv(CounterEnv):
    """Takes half a second to start."""

    placement: ClassVar[Placement] = Placement(memory_mib=24, start_seconds=0.5, warm_spares=2)
    env_id = "tests/Slow-v0"

    @classmethod
    def warm(cls) -> None:
        time.sleep(0.5)
        cls.warmed += 1


class BrokenEnv(CounterEnv):
    """Cannot start until a file is there, whose name the environment variable holds."""

    placement: ClassVar[Placement] = Placement(memory_mib=24, warm_spares=1)
    env_id = "tests/Broken-v0"

    @classmethod
    def warm(cls) -> None:
        if not os.path.exists(os.environ["BROKEN_ENV_FILE"]):
            raise RuntimeError("there is no Java here")


class LargeEnv(CounterEnv):
    """Takes a GiB, and only two episodes per process."""

    placement: ClassVar[Placement] = Placement(memory_mib=1024, episodes_per_worker=2)
    env_id = "tests/Large-v0"


for _env in (CounterEnv, ReplayedEnv, SlowEnv, BrokenEnv, LargeEnv):
    register(_env.env_id, f"tests.rollout.placed:{_env.__name__}", description=str(_env.__doc__))
