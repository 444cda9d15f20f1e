"""Faults of classes, panels and prompts, for the conformance suite to find."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium

from agentrl.envs import ParsedAction
from agentrl.envs.textworld import CompactPrompt
from agentrl.types import Task
from tests.envs.sound import Sound, fault

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
