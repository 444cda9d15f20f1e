"""Episodes as the checks play them: every call announced, every answer held to the contract."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium

from agentrl.envs import registry
from agentrl.envs.base import Info
from agentrl.envs.conformance.results import Violation
from agentrl.envs.conformance.subject import Subject
from agentrl.envs.contract import checked_reset, checked_step, completed, plain_number
from agentrl.envs.worker import seed_global_generators
from agentrl.types import Task

_NONSENSE = ("sing loudly", "look", "wait", "")


class Turn(NamedTuple):
    """What came back from a step (or, with neutral values, from a reset)."""

    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: Info


class Episode:
    """One episode of a task.

    Args:
        subject: the environment under test.
        task: the task to start.
        options: reset options on top of the task's.
    """

    def __init__(self, subject: Subject, task: Task, options: Mapping[str, Any] | None = None):
        self.subject = subject
        self.task = task
        self.actions: list[str] = []
        with subject.calling("the constructor", "it needs no arguments beyond those registered"):
            self.env = registry.make(task.env_id)
        self.turns = [self.reset(task, options)]

    def reset(self, task: Task, options: Mapping[str, Any] | None = None) -> Turn:
        """Reset the environment object and return its first turn."""
        seed_global_generators(task.seed)  # as a worker process does
        advice = "`reset(seed=, options=)` returns (observation, info) for every task of a panel"
        with self.subject.calling(f"`reset` of task {task.id!r}", advice):
            result = self.env.reset(seed=task.seed, options={**task.options, **(options or {})})
            observation, info = checked_reset(result)
        return Turn(observation, 0.0, False, False, _frozen(completed(info, observation, task, 0)))

    def step(self, action: str) -> Turn:
        """Send an action."""
        advice = (
            "answer every text with (observation, reward, terminated, truncated, info); where it "
            'is no action, say so in the observation and set info["action_valid"] to False'
        )
        shown = repr(action if len(action) <= 80 else action[:80] + "...")
        number = len(self.actions) + 1
        with self.subject.calling(f"`step({shown})` (action {number})", advice):
            observation, reward, *flags, info = checked_step(self.env.step(action))
        self.actions.append(action)
        info = _frozen(completed(info, observation, self.task, number))
        self.turns.append(Turn(observation, reward, flags[0], flags[1], info))
        return self.turns[-1]

    def fork(self) -> Episode:
        """Fork the environment and return the episode of the fork."""
        twin = object.__new__(Episode)
        twin.__dict__.update(self.__dict__)
        twin.actions, twin.turns = list(self.actions), list(self.turns)
        place = f"`fork()` after {len(self.actions)} actions"
        with self.subject.calling(place, "return an independent environment in the same state"):
            twin.env = self.env.fork()  # type: ignore[attr-defined]
        if not isinstance(twin.env, gymnasium.Env) or twin.env is self.env:
            raise Violation(
                f"{place} returned {type(twin.env).__name__}, or the environment itself; another "
                "environment is expected.",
                "return a new environment in the same state",
            )
        return twin

    def close(self) -> None:
        """Close the environment."""
        with self.subject.calling("`close()`", "closing an environment never raises"):
            self.env.close()

    @property
    def last(self) -> Turn:
        """The newest turn."""
        return self.turns[-1]

    @property
    def over(self) -> bool:
        """True once the episode has ended."""
        return self.last.terminated or self.last.truncated

    def play(self, seed: str, steps: int) -> list[Turn]:
        """Take up to `steps` random actions, fewer if the episode ends; return all turns so far."""
        rng = random.Random(seed)
        for _ in range(steps):
            if self.over:
                break
            self.step(self.draw(rng))
        return self.turns

    def draw(self, rng: random.Random) -> str:
        """Draw an action for the newest turn."""
        return choose(rng, self.last, self.turns[0].info["task"])


def replayed(subject: Subject, task: Task, actions: Sequence[str]) -> list[Turn]:
    """Return the turns of a fresh episode with these actions."""
    episode = Episode(subject, task)
    for action in actions:
        episode.step(action)
    episode.close()
    return episode.turns


def choose(rng: random.Random, turn: Turn, goal: str) -> str:
    """Draw an action: mostly one that is likely to do something, now and then nonsense."""
    if rng.random() < 0.1:
        return rng.choice(_NONSENSE)
    return rng.choice(candidates(turn, goal))


def candidates(turn: Turn, goal: str) -> list[str]:
    """Return the admissible actions; where they are not told, words the environment itself uses."""
    admissible = turn.info["admissible_actions"]
    if admissible:
        return list(admissible)
    words = set(re.findall(r"[a-z]{2,}", f"{goal} {turn.observation}".lower()))
    return sorted(words)[:50] or ["look"]


def difference(left: Sequence[Turn], right: Sequence[Turn]) -> str | None:
    """Return where two episodes first differ, or None."""
    for number, (a, b) in enumerate(zip(left, right, strict=False)):
        where = f"after action {number}" if number else "after reset"
        for name in ("observation", "reward", "terminated", "truncated"):
            x, y = getattr(a, name), getattr(b, name)
            if x != y:
                return f"{where}: {name} {_short(x)} and {_short(y)}"
        for key in sorted(a.info.keys() | b.info.keys()):
            x, y = a.info.get(key), b.info.get(key)
            if x != y:
                return f'{where}: info["{key}"] {_short(x)} and {_short(y)}'
    if len(left) != len(right):
        return f"{len(left) - 1} and {len(right) - 1} actions until the end"
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 90 else text[:87] + "..."


def _frozen(info: Info) -> Info:
    """Return a copy as it would come from a worker process; later changes do not reach it."""
    copy: Info = json.loads(json.dumps(info, default=plain_number))
    return copy
