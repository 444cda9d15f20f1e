"""The inside of an environment worker process.

Messages are a 4-byte length and that many bytes of JSON.  The parent asks

    {"call": "reset", "task": ..., "environment": [id, entry point, kwargs]}
    {"call": "step", "action": ...}
    {"call": "close"}

and gets `{"value": ...}` or `{"error": text, "kind": "raised" | "contract"}`.  A worker holds one
environment at a time.
"""

from __future__ import annotations

import importlib
import json
import random
import socket
import struct
import sys
import traceback
from typing import Any

import gymnasium

from agentrl.envs import registry
from agentrl.envs.base import Info
from agentrl.envs.contract import StepResult, checked_reset, checked_step, completed, plain_number
from agentrl.errors import EnvironmentFailure
from agentrl.types import Task

HEADER = struct.Struct(">I")


class Worker:
    """Answers calls about one environment at a time."""

    def __init__(self) -> None:
        self._env: gymnasium.Env[str, str] | None = None
        self._task: Task | None = None
        self._steps = 0

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry a call out; whatever the environment raises becomes an error answer."""
        try:
            if message["call"] == "reset":
                return {"value": self._reset(message)}
            if message["call"] == "step":
                return {"value": self._step(message["action"])}
            self._close()
            return {"value": None}
        except EnvironmentFailure as error:
            return {"error": str(error), "kind": error.kind}
        except BaseException as error:  # SystemExit and the like come from the environment, too
            return {"error": describe(error), "kind": "raised"}

    def _reset(self, message: dict[str, Any]) -> tuple[str, Info]:
        self._close()
        task = Task.from_json(message["task"])
        _register(*message["environment"])
        seed_global_generators(task.seed)
        env = registry.make(task.env_id)
        self._env, self._task, self._steps = env, task, 0
        observation, info = checked_reset(env.reset(seed=task.seed, options=dict(task.options)))
        return observation, completed(info, observation, task, 0)

    def _step(self, action: str) -> StepResult:
        assert self._env is not None and self._task is not None
        observation, reward, terminated, truncated, info = checked_step(self._env.step(action))
        self._steps += 1
        info = completed(info, observation, self._task, self._steps)
        return observation, reward, terminated, truncated, info

    def _close(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            env.close()


def serve(connection: socket.socket) -> None:
    """Answer calls until the parent closes the connection."""
    worker = Worker()
    while (message := _receive(connection)) is not None:
        answer = json.dumps(worker.answer(message), default=plain_number).encode()
        connection.sendall(HEADER.pack(len(answer)) + answer)


def describe(error: BaseException) -> str:
    """Return type, text and innermost place of an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def seed_global_generators(seed: int) -> None:
    """Make environments that draw from `random` or `numpy.random` repeatable, too."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def _register(env_id: str, entry_point: str, kwargs: dict[str, Any]) -> None:
    """Make an environment known that the parent registered after this process was started."""
    if env_id not in gymnasium.registry:
        importlib.import_module(entry_point.partition(":")[0])  # it may register itself
    if env_id not in gymnasium.registry:
        registry.register(env_id, entry_point, description="", kwargs=kwargs)


def _receive(connection: socket.socket) -> dict[str, Any] | None:
    header = _read(connection, HEADER.size)
    if header is None:
        return None
    body = _read(connection, HEADER.unpack(header)[0])
    return None if body is None else json.loads(body)


def _read(connection: socket.socket, size: int) -> bytes | None:
    """Read exactly `size` bytes; None once the connection is closed."""
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
