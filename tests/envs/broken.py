"""A sound environment, and variants with one fault each, for the conformance suite to find."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium

from agentrl.envs import ParsedAction, TextEnv, register
from agentrl.envs.textworld import CompactPrompt
from agentrl.types import Task, TaskPanel


class Sound(TextEnv):
    """Walk along a line to its end; knows actions, expert and `fork`; eight steps at most."""

    prompt = CompactPrompt()
    path: list[int]

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        return TaskPanel.of(split, cls.tasks(split, options))

    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        first = 0 if split == "train" else 100
        return [cls.task(n, split, options) for n in range(first, first + 4)]

    @classmethod
    def task(cls, number: int, split: str, options: dict[str, Any]) -> Task:
        env_id = f"broken/{cls.__name__}-v0"
        return Task(id=f"{number}", env_id=env_id, seed=number, options=options, split=split)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.path = [int(self.np_random.integers(2, 5))]
        return self.look(), self.info("left")

    def step(self, action: str) -> Any:
        self.path.append(max(0, self.path[-1] + {"left": -1, "right": 1}.get(action, 0)))
        won = self.path[-1] == 0
        over = not won and len(self.path) > 8
        return self.look(), float(won), won, over, self.info(action)

    def fork(self) -> TextEnv:
        twin = type(self)()
        twin.path = list(self.path)
        return twin

    def look(self) -> str:
        return f"The end is {self.path[-1]} to the left."

    def info(self, action: str) -> dict[str, Any]:
        return {
            "task": "Walk to the end.",
            "admissible_actions": ["left", "right"],
            "action_valid": action in ("left", "right"),
            "won": self.path[-1] == 0,
            "score": float(self.path[-1] == 0),
            "step": len(self.path) - 1,
            "expert_action": "left",
        }


FAULTS: list[tuple[str, str, str]] = []
"""Check, what it says, and the environment that must fail it."""


def fault(check: str, message: str) -> Any:
    def add(cls: type) -> type:
        env_id = f"broken/{cls.__name__}-v0"
        FAULTS.append((check, message, env_id))
        register(env_id, f"{__name__}:{cls.__name__}", description=message)
        return cls

    return add


register("broken/Sound-v0", f"{__name__}:Sound", description="Nothing is wrong with it.")


# class


@fault("class", "has no `prompt`")
class NoPrompt(gymnasium.Env[str, str]):
    panel = Sound.panel


@fault("class", "has no `panel`")
class NoPanel(gymnasium.Env[str, str]):
    prompt = CompactPrompt()


@fault("class", "Prompt 'odd' has no method `parse`")
class HalfAPrompt(Sound):
    prompts: ClassVar[dict[str, Any]] = {"odd": object()}

    class Odd:
        system = observe = stop_strings = None

    prompts["odd"] = type("Odd", (), {"system": print, "observe": print})()


@fault("class", "`preload` is 'numpy'")
class PreloadText(Sound):
    preload: Any = "numpy"


@fault("class", "`placement` is {'memory_mib': 1}")
class PlacementDict(Sound):
    placement: Any = {"memory_mib": 1}  # noqa: RUF012


# start


@fault("start", "raised ZeroDivisionError: division by zero")
class PanelRaises(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        raise ZeroDivisionError("division by zero")


@fault("start", "has no tasks")
class EmptyPanel(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        return []


@fault("start", "returned list; a TaskPanel is expected")
class PanelList(Sound):
    @classmethod
    def panel(cls, split: str, **options: Any) -> Any:
        return cls.tasks(split, options)


@fault("start", "missing 1 required positional argument: 'size'")
class NeedsArgument(Sound):
    def __init__(self, size: int) -> None:
        self.size = size


@fault("start", "return (observation, info); got str")
class ResetText(Sound):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return "Hello."


@fault("start", "`reset` of task '0' raised SystemExit")
class ResetExits(Sound):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        sys.exit("enough")


@fault("start", "JSON values in info (`self`")
class InfoObject(Sound):
    def info(self, action: str) -> dict[str, Any]:
        return {**super().info(action), "self": self}


# panels


@fault("panels", "Task id '0' is in the train panel and in the heldout panel")
class SharedIds(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        return [cls.task(0, split, options)]


@fault("panels", "has seed and options of a task of the train panel")
class SharedContent(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        env_id = f"broken/{cls.__name__}-v0"
        return [Task(id=f"{split}-0", env_id=env_id, split=split)]


@fault("panels", "returns other tasks when it is called again")
class RandomPanel(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        number = random.randrange(10**6, 10**9)
        return [*super().tasks(split, options), cls.task(number, split, options)]


@fault("panels", "in another process")
class UnorderedPanel(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        first = 0 if split == "train" else 100
        names = {f"{n}" for n in range(first, first + 50)}
        return [cls.task(int(name), split, options) for name in names]


@fault("panels", "names environment 'broken/Sound-v0'")
class OtherName(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        return Sound.tasks(split, options)


@fault("panels", "labelled 'all'")
class OtherLabel(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        return [cls.task(0 if split == "train" else 1, "all", options)]


@fault("panels", "not the same after being stored as JSON")
class TupleOption(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        return [cls.task(0 if split == "train" else 1, split, {"sizes": (1, 2)})]


@fault("panels", "Object of type set is not JSON serializable")
class SetOption(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        return [cls.task(0 if split == "train" else 1, split, {"sizes": {1, 2}})]


@fault("panels", "has seed '5'")
class TextSeed(Sound):
    @classmethod
    def tasks(cls, split: str, options: dict[str, Any]) -> list[Task]:
        wrong = Task(id="5", env_id=f"broken/{cls.__name__}-v0", seed="5", split=split)  # type: ignore[arg-type]
        return [*super().tasks(split, options), wrong]


# api


@fault("api", "super().reset(seed=seed)")
class NoSeeding(Sound):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.path = [2]
        return self.look(), self.info("left")


@fault("api", "does not contain every string")
class LatinOnly(Sound):
    observation_space = gymnasium.spaces.Text(1000)


# prompts


@dataclass(frozen=True)
class Parsing(CompactPrompt):
    """A prompt whose `parse` gives what `fault` says."""

    fault: str = ""

    def parse(self, text: str, info: Any) -> Any:
        if self.fault == "raises":
            return ParsedAction(text.split("<action>")[1])
        return text if self.fault == "text" else ParsedAction(text)


@dataclass(frozen=True)
class Hiding(CompactPrompt):
    def observe(self, observation: str, info: Any) -> str:
        return "Something happened."


@fault("prompts", "`parse('')` of prompt '(default)' raised IndexError")
class ParseRaises(Sound):
    prompt = Parsing(fault="raises")


@fault("prompts", "`parse('')` of prompt '(default)' returned ''")
class ParseText(Sound):
    prompt = Parsing(fault="text")


@fault("prompts", "takes an empty answer for a valid action")
class ParseAnything(Sound):
    prompt = Parsing()


@fault("prompts", "Prompt 'hiding' does not show the observation")
class Hides(Sound):
    prompts: ClassVar[dict[str, Any]] = {"hiding": Hiding()}


@fault("prompts", "`stop_strings` of prompt '(default)' is '<end>'")
class StopText(Sound):
    prompt: Any = CompactPrompt(stop_strings="<end>")  # type: ignore[arg-type]


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
