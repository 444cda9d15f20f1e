"""Faults that show while an episode is played, for the conformance suite to find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any, ClassVar

from agentrl.envs import TextEnv
from tests.envs.sound import Sound, fault

# info


class Altered(Sound):
    """Its info is changed by `change`."""

    change: ClassVar[dict[str, Any]] = {}

    def info(self, action: str) -> dict[str, Any]:
        return {**super().info(action), **self.change}


@fault("info", 'info["task"] is empty')
class NoTask(Altered):
    change: ClassVar[dict[str, Any]] = {"task": ""}


@fault("info", 'info["won"] is True after reset')
class WonAtOnce(Altered):
    change: ClassVar[dict[str, Any]] = {"won": True}


@fault("info", 'info["score"] is 7 after reset')
class HighScore(Altered):
    change: ClassVar[dict[str, Any]] = {"score": 7}


@fault("info", "info[\"raw_score\"] is 'much' after reset")
class TextScore(Altered):
    change: ClassVar[dict[str, Any]] = {"raw_score": "much"}


@fault("info", 'info["step"] is 0 after action 1')
class NotCounting(Altered):
    change: ClassVar[dict[str, Any]] = {"step": 0}


@fault("info", 'info["anchor"] is 3 after reset')
class NumberAnchor(Altered):
    change: ClassVar[dict[str, Any]] = {"anchor": 3}


@fault("info", "give a finite number as reward")
class NoReward(Sound):
    def step(self, action: str) -> Any:
        return (super().step(action)[0], None, *super().step(action)[2:])


# admissible


@fault("admissible", "is not sorted, or has duplicates")
class Unsorted(Altered):
    change: ClassVar[dict[str, Any]] = {"admissible_actions": ["right", "left"]}


@fault("admissible", "'up' is admissible, but")
class Refused(Altered):
    change: ClassVar[dict[str, Any]] = {"admissible_actions": ["left", "right", "up"]}


@fault("admissible", "is an empty list before the end")
class NothingToDo(Altered):
    change: ClassVar[dict[str, Any]] = {"admissible_actions": []}


@fault("admissible", "is 'left or right'")
class ActionText(Altered):
    change: ClassVar[dict[str, Any]] = {"admissible_actions": "left or right"}


# seeding and determinism


@fault("seeding", "starts differently when the same object is reset to it again")
class CarriesOver(Sound):
    games = 0

    def look(self) -> str:
        return f"{super().look()} This is game {self.games}."

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.games += 1
        return super().reset(seed=seed)


@fault("determinism", "in the same process differs after action 1: observation")
class Clock(Sound):
    def look(self) -> str:
        return f"{super().look()} It is {time.perf_counter_ns() if len(self.path) > 1 else 0}."


@fault("determinism", "in another process differs after reset: observation")
class StringHash(Sound):
    def look(self) -> str:
        return f"{super().look()} {hash('abc')}"


# ends, close, expert


@fault("ends", "terminated and truncated, both True")
class BothEnds(Sound):
    def step(self, action: str) -> Any:
        observation, reward, won, over, info = super().step(action)
        return observation, reward, won or over, won or over, info


@fault("ends", "after the end of the episode raised AssertionError")
class AssertsBeyond(Sound):
    def step(self, action: str) -> Any:
        assert self.path[-1] > 0 and len(self.path) <= 8
        return super().step(action)


@fault("close", "`close()` raised AttributeError")
class ClosesOnce(Sound):
    def close(self) -> None:
        del self.path


@fault("expert", "wins none of 2 tasks")
class NoExpert(Altered):
    change: ClassVar[dict[str, Any]] = {"expert_action": "right"}


@fault("expert", 'info["expert_action"] is 3')
class NumberExpert(Altered):
    change: ClassVar[dict[str, Any]] = {"expert_action": 3}


# fork


@fault("fork", "differs from a fresh run with the same actions")
class SharedPath(Sound):
    def fork(self) -> TextEnv:
        twin = type(self)()
        twin.path = self.path
        return twin


@fault("fork", "the fork differs from a fresh run with the same actions")
class ForgetsSteps(Sound):
    def fork(self) -> TextEnv:
        twin = type(self)()
        twin.path = self.path[-1:]
        return twin


@fault("fork", "or the environment itself")
class ForksItself(Sound):
    def fork(self) -> TextEnv:
        return self


# fuzz


@fault("fuzz", "UnicodeEncodeError")
class AsciiOnly(Sound):
    def step(self, action: str) -> Any:
        action.encode("ascii")
        return super().step(action)


@fault("fuzz", "differs from one before them")
class Poisoned(Sound):
    worst: ClassVar[list[str]] = [""]

    def step(self, action: str) -> Any:
        self.worst[:] = [max(self.worst[0], action[:10] if len(action) > 50 else "")]
        return super().step(action)

    def look(self) -> str:
        return f"{super().look()} {self.worst[0]!r}"


@fault("fuzz", "no answer within 1 s")
class Regular(Sound):
    def step(self, action: str) -> Any:
        if len(action) > 1000:
            time.sleep(60)
        return super().step(action)


@fault("fuzz", "was killed by signal 11 (SIGSEGV)")
class Crashes(Sound):
    def step(self, action: str) -> Any:
        if "\x00" in action:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().step(action)


# memory


@fault("memory", "MiB over 30 episodes; at most 10 MiB")
class Keeps(Sound):
    kept: ClassVar[list[bytes]] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.kept.append(os.urandom(2**19))
        return super().reset(seed=seed)


@fault("memory", "open files after 30 episodes")
class KeepsFiles(Sound):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        os.open(os.devnull, os.O_RDONLY)
        return super().reset(seed=seed)


@fault("memory", "child processes after 30 episodes")
class KeepsChildren(Sound):
    kept: ClassVar[list[Any]] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.kept.append(subprocess.Popen(["sleep", "60"]))
        return super().reset(seed=seed)


# worker


@fault("worker", "In a worker process the episode differs after reset: observation")
class KnowsWhere(Sound):
    def look(self) -> str:
        return f"{super().look()} {'agentrl.rollout' in sys.modules}"


@fault("worker", "is 32, and a process with more than 2 times as much is replaced")
class Large(Sound):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.large = os.urandom(80 * 2**20)
        return super().reset(seed=seed)
