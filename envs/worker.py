"""The inside of an environment worker process.

Messages are a 4-byte length and that many bytes of JSON.  The parent asks

    {"call": "warm", "environment": [id, entry point, kwargs]}
    {"call": "reset", "task": ..., "environment": [id, entry point, kwargs]}
    {"call": "step", "action": ...}
    {"call": "replay", "task": ..., "environment": ..., "actions": [...]}   reset and steps at once;
                        the value is the last observation
    {"call": "close"}   the value is the process's own memory in MiB, now and then, else None
    {"call": "fork"}    with one end of a new connection as file descriptor; the value is the id of
                        a new process that serves it and holds the same environment

and gets `{"value": ...}` or `{"error": text, "kind": "raised" | "contract"}`.  A worker holds one
environment at a time.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import socket
import struct
import sys
import time
import traceback
from typing import Any

import gymnasium

from agentrl.envs import registry
from agentrl.envs.base import Info
from agentrl.envs.contract import ENCODER, StepResult, checked_reset, checked_step, completed
from agentrl.envs.process import children_of, die_with_parent, own_memory_mib, threads_of
from agentrl.errors import EnvironmentFailure
from agentrl.types import Task

HEADER = struct.Struct(">I")
_MEMORY_CHECK_SECONDS = 1.0
"""Reading the memory of a process takes about a millisecond, too much for every short episode."""
_USUAL_BYTES = 4096
"""Most messages are shorter and arrive at once."""


class Worker:
    """Answers calls about one environment at a time."""

    def __init__(self) -> None:
        self._env: gymnasium.Env[str, str] | None = None
        self._task: Task | None = None
        self._steps = 0
        self._measured = 0.0

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry a call out; whatever the environment raises becomes an error answer."""
        try:
            if message["call"] == "reset":
                return {"value": self._reset(message)}
            if message["call"] == "step":
                return {"value": self._step(message["action"])}
            if message["call"] == "replay":
                return {"value": self._replay(message)}
            if message["call"] == "warm":
                _register(*message["environment"])
                registry.env_class(message["environment"][0]).warm()
                return {"value": None}
            self._close()
            return {"value": self._memory()}
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

    def _replay(self, message: dict[str, Any]) -> str:
        observation, _ = self._reset(message)
        for action in message["actions"]:
            observation = self._step(action)[0]
        return observation

    def _close(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def _memory(self) -> float | None:
        now = time.monotonic()
        if now - self._measured < _MEMORY_CHECK_SECONDS:
            return None
        self._measured = now
        return own_memory_mib(os.getpid())


def serve(connection: socket.socket) -> None:
    """Answer calls until the parent closes the connection."""
    worker = Worker()
    while (received := _receive(connection)) is not None:
        message, descriptor = received
        if message["call"] == "fork":
            connection, result = _fork(connection, descriptor)
            if result is None:
                continue  # this is the new process
        else:
            result = worker.answer(message)
        answer = ENCODER.encode(result).encode()
        connection.sendall(HEADER.pack(len(answer)) + answer)


def _fork(
    connection: socket.socket, descriptor: int
) -> tuple[socket.socket, dict[str, Any] | None]:
    """Fork this process; the new one is a child of the zygote, as all workers are.

    Returns:
        In the old process its connection and the answer; in the new one its connection and None.
    """
    zygote = os.getppid()
    os.set_inheritable(descriptor, False)
    theirs = socket.socket(fileno=descriptor)
    threads, children = threads_of(os.getpid()), len(children_of(os.getpid()))
    if threads > 1 or children:
        theirs.close()
        text = f"a process with {threads} threads and {children} children cannot be forked"
        return connection, {"error": f"{text}; unset `fork_process`", "kind": "raised"}
    read_end, write_end = os.pipe()
    try:
        # The process in between ends at once, which makes the new one a child of the zygote.
        between = os.fork()
    except OSError as error:
        theirs.close()
        return connection, {"error": describe(error), "kind": "raised"}
    if between:
        theirs.close()
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            pid = pipe.read()
        os.waitpid(between, 0)
        if not pid:
            return connection, {"error": "the process could not be forked", "kind": "raised"}
        return connection, {"value": int(pid)}
    between = os.getpid()
    _fork_again(write_end)
    os.close(read_end)
    os.close(write_end)
    connection.close()
    os.setpgid(0, 0)
    while os.getppid() == between:
        time.sleep(0.0002)
    die_with_parent()
    if os.getppid() != zygote:
        os._exit(1)
    return theirs, None


def _fork_again(write_end: int) -> None:
    """Fork; the parent writes the child's id and ends, the child returns."""
    pid = 1
    try:
        pid = os.fork()
        if pid:
            os.write(write_end, str(pid).encode())
    finally:
        if pid:
            os._exit(0)


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


def _receive(connection: socket.socket) -> tuple[dict[str, Any], int] | None:
    """Return the next message and the file descriptor that came with it, or -1; None at the end."""
    # The parent sends nothing more before it has the answer, so this reads one message at most.
    data, descriptors, _, _ = socket.recv_fds(connection, _USUAL_BYTES, 1)
    while len(data) < HEADER.size:
        more = connection.recv(HEADER.size - len(data))
        if not more:
            return None
        data += more
    size = HEADER.unpack_from(data)[0]
    rest = _read(connection, HEADER.size + size - len(data))
    if rest is None:
        return None
    message = json.loads(data[HEADER.size :] + rest)
    return message, descriptors[0] if descriptors else -1


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
