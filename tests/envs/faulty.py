"""An environment that misbehaves on purpose."""

from __future__ import annotations

import os
import random
import sys
import time
from typing import Any

from agentrl.envs import TextEnv, register
from agentrl.envs.textworld.prompts import CompactPrompt
from agentrl.types import Task, TaskPanel

ENV_ID = "tests/Faulty-v0"
KINDS = ("raise", "hang", "exit", "garbage", "types")


class FaultyEnv(TextEnv):
    """Five quiet steps to a reward, with a fault of one of `kinds` at a share `rate` of calls.

    Options: `kinds`, `rate` (0.2; 0 without options), `hang_seconds` (60), `at` ("step", "reset").
    """

    prompt = CompactPrompt()

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        count = options.pop("count", 8)
        first = 0 if split == "train" else 1000
        tasks = [
            Task(id=f"faulty-{seed}", env_id=ENV_ID, seed=seed, options=options, split=split)
            for seed in range(first, first + count)
        ]
        return TaskPanel.of(f"faulty-{split}", tasks)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        rate = 0.0 if options is None else 0.2
        self.options = {"kinds": KINDS, "rate": rate, "hang_seconds": 60, "at": "step"}
        self.options.update(options or {})
        self.random = random.Random(seed)
        self.steps = 0
        return self._misbehave("reset") or (f"Start {seed}.", self._info())

    def step(self, action: str) -> Any:
        self.steps += 1
        wrong = self._misbehave("step")
        done = self.steps == 5
        return wrong or (f"Step {self.steps}: {action}", float(done), done, False, self._info())

    def _info(self) -> dict[str, Any]:
        return {"task": "wait", "admissible_actions": ["go", "wait"], "won": self.steps == 5}

    def _misbehave(self, call: str) -> Any:
        if self.options["at"] != call or self.random.random() >= self.options["rate"]:
            return None
        kind = self.random.choice(self.options["kinds"])
        if kind == "raise":
            raise RuntimeError("this environment is broken")
        if kind == "hang":
            time.sleep(self.options["hang_seconds"])
        if kind == "exit":
            os._exit(3)
        if kind == "garbage":
            print("\x00\xff{garbage}" * 1000)
            sys.stderr.write("more garbage\n")
            os.write(1, b"\xff\xfe raw bytes")
            return (b"bytes \xff", "much", None, 2, object())
        return {"not": "a tuple"} if call == "reset" else ("text", float("nan"), 1, 0, {"x": {1}})


register(ENV_ID, "tests.envs.faulty:FaultyEnv", description="Fails on purpose.")
