"""What an environment may return, checked where it runs, and filled up for those that say less."""

from __future__ import annotations

import json
import math
from numbers import Real
from typing import Any

import numpy as np

from agentrl.envs.base import Info
from agentrl.errors import EnvironmentFailure
from agentrl.types import Task

StepResult = tuple[str, float, bool, bool, Info]


def checked_reset(result: Any) -> tuple[str, Info]:
    """Return the result of `reset` if it is `(str, dict)`.

    Raises:
        EnvironmentFailure: of kind `contract`, naming what was returned instead.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise _broken("return (observation, info)", result)
    return _text(result[0]), _info(result[1])


def checked_step(result: Any) -> StepResult:
    """Return the result of `step` if it is `(str, finite number, bool, bool, dict)`.

    Raises:
        EnvironmentFailure: of kind `contract`, naming what was returned instead.
    """
    if not isinstance(result, tuple) or len(result) != 5:
        raise _broken("return (observation, reward, terminated, truncated, info)", result)
    observation, reward, terminated, truncated, info = result
    if type(reward) is bool or not isinstance(reward, Real) or not math.isfinite(reward):
        raise _broken("give a finite number as reward", reward)
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            raise _broken(f"give a bool as `{name}`", flag)
    return _text(observation), float(reward), bool(terminated), bool(truncated), _info(info)


def completed(info: Info, observation: str, task: Task, step: int) -> Info:
    """Return `info` with every key of `INFO_KEYS`.

    What the environment left out gets a neutral value; the task's own labels replace its.
    """
    neutral: Info = {
        "task": "",
        "admissible_actions": None,
        "won": False,
        "score": 0.0,
        "raw_score": info.get("score", 0.0),
        "action_valid": True,
        "anchor": observation,
        "final_answer": None,
        "step": step,
    }
    labels = {"task_id": task.id, "split": task.split, "task_type": task.task_type}
    return {**neutral, **info, **labels}


def _text(observation: Any) -> str:
    if not isinstance(observation, str):
        raise _broken("give a str as observation", observation)
    try:
        observation.encode()
    except UnicodeEncodeError as error:
        raise _broken("give an observation that is valid Unicode", observation) from error
    return observation


def _info(info: Any) -> Info:
    if not isinstance(info, dict) or not all(isinstance(key, str) for key in info):
        raise _broken("give a dict with str keys as info", info)
    try:
        ENCODER.encode(info)
    except (TypeError, ValueError):
        for key, value in info.items():
            _json_value(key, value)
    return info


def _json_value(key: str, value: Any) -> None:
    try:
        ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise _broken(f"give JSON values in info (`{key}`: {error})", value) from error


def plain_number(value: Any) -> Any:
    """Turn a NumPy scalar into a Python number, for `json`."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


ENCODER = json.JSONEncoder(allow_nan=False, default=plain_number)
"""Made once: `json.dumps` with these settings makes one at every call."""


def _broken(duty: str, value: Any) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"it must {duty}; got {type(value).__name__} {repr(value)[:200]}", kind="contract"
    )
