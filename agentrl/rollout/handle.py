"""One environment of a pool, as the episode that plays it sees it."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Any

from agentrl.envs.base import Info
from agentrl.errors import EnvironmentFailure, ReplayMismatch
from agentrl.rollout.places import Places
from agentrl.rollout.processes import WorkerProcess, connect
from agentrl.types import Task

_CLOSE_CALL_SECONDS = 5.0
_REPLAY_FACTOR = 4.0
"""Repeating actions may take this many times as long as they took, beyond the time of one call."""
_FORK_SECONDS = 0.015
"""What forking a process takes, until it is measured."""
_FORK_FACTOR = 1.5
"""Real cost of forking a process: both copies then copy the memory that they write to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvState:
    """A state an environment was in, from which `EnvHandle.in_state` goes on.

    Attributes:
        task: what is played.
        actions: what was done, from the reset on.
        observation: what the environment then said.
        seconds: what the calls took.
        source: the environment that was in this state, and may still be.
    """

    task: Task
    actions: tuple[str, ...]
    observation: str
    seconds: float
    source: EnvHandle | None = None


class EnvHandle:
    """One environment in a worker process; every call has a deadline.

    After an `EnvironmentFailure` of `reset` or `step` the handle can only be closed.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._worker: WorkerProcess | None = None
        self._task: Task | None = None
        self._actions: list[str] = []
        self._observation = ""
        self._seconds = 0.0  # that the calls of this episode have taken
        self._healthy = True
        self._closing = False
        self._lock = asyncio.Lock()  # a fork waits for a running step, and a step for a fork
        self._forking: asyncio.Task[EnvHandle] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the environment's worker; None while it has none."""
        return None if self._worker is None else self._worker.pid

    async def take_place(self, task: Task, timeout: float | None = None) -> None:
        """Wait for a process that can play the task; one of another environment is given back.

        Raises:
            EnvironmentFailure: no process could be started, or warmed up, or in time.
        """
        if self._worker is not None and self._worker.env_id == task.env_id:
            return
        await self._release()
        try:
            self._worker = await self._places.place(task, timeout=timeout)
        except EnvironmentFailure:
            self._healthy = False
            raise

    async def reset(self, task: Task) -> tuple[str, Info]:
        """Make a new environment and start the task; `info` has every key of `INFO_KEYS`.

        Raises:
            EnvironmentFailure: it raised, hung, died or broke the contract (see `kind`).
        """
        async with self._lock:
            if self._healthy:
                await self.take_place(task)
            observation, info = await self._start("reset", task, [])
            self._observation = observation
            return observation, info

    async def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Act; returns `(observation, reward, terminated, truncated, info)`.

        Raises:
            EnvironmentFailure: it raised, hung, died or broke the contract (see `kind`).
        """
        async with self._lock:
            observation, reward, terminated, truncated, info = await self._call(
                {"call": "step", "action": action}
            )
            self._actions.append(action)
            self._observation = observation
            return observation, reward, terminated, truncated, info

    async def fork(self, *, timeout: float | None = None) -> EnvHandle:
        """Return another handle, in another process, whose environment is in the same state.

        The task is started anew and the actions are repeated, which needs a deterministic
        environment.  Where the environment's placement allows `fork_process`, the process itself
        is forked if that has so far taken less time than this episode.  The copy takes a place of
        its own, and waits for it.  Whatever goes wrong, this handle can go on; it should not wait
        for a place that only its own end would free.  It can be closed while the copy is made.

        Args:
            timeout: seconds to wait for a place; None waits `start_timeout` of the pool.

        Raises:
            EnvironmentFailure: there was no place in time, or the copy failed.
            ReplayMismatch: the repeated actions led elsewhere.
        """
        seconds = self._places.starter.start_timeout if timeout is None else timeout
        await self._lock.acquire()  # the state to copy is the one after the calls before
        try:
            task, worker = self._task, self._worker
            if task is None or worker is None or not self._healthy or self._closing:
                raise EnvironmentFailure("There is no running environment to fork.", "died")
            actions, observation = list(self._actions), self._observation
            faster = self._forking_is_faster(task.env_id)
            by_process = faster and await self._have_room_for_copy(task, seconds)
        except BaseException:
            self._lock.release()
            raise
        if by_process:
            return await self._copied(task, worker)
        self._lock.release()
        taken = self._seconds
        return await EnvHandle(self._places)._replayed(task, actions, observation, taken, seconds)

    @classmethod
    async def in_state(cls, places: Places, state: EnvState) -> EnvHandle:
        """Return an environment of its own in a state that another one has been in.

        Where the other one is still in it, and its process is faster forked than its actions are
        repeated, the process is forked; otherwise the actions are repeated.

        Raises:
            EnvironmentFailure: the copy failed.
            ReplayMismatch: the repeated actions led elsewhere.
        """
        copy = None if state.source is None else await state.source._copied_in(state)
        if copy is not None:
            return copy
        return await cls(places)._replayed(
            state.task, list(state.actions), state.observation, state.seconds, None
        )

    async def _copied_in(self, state: EnvState) -> EnvHandle | None:
        """Fork the process if it is in this state, that is faster, and there is room right now.

        Otherwise None: the environment must not stand still until another one gives its place up.
        """
        if not self._rests_in(state):
            return None
        await self._lock.acquire()  # a step may have been waiting for it before
        worker = self._worker
        if worker is not None and self._is_in(state) and self._places.room_now(state.task):
            return await self._copied(state.task, worker)
        self._lock.release()
        return None

    def _rests_in(self, state: EnvState) -> bool:
        """Say whether the state can be had by forking this process, and faster so."""
        rests = self._is_in(state) and not self._lock.locked()
        return rests and self._forking_is_faster(state.task.env_id)

    def _is_in(self, state: EnvState) -> bool:
        lives = self._healthy and self._worker is not None and not self._closing
        return lives and self._task == state.task and len(self._actions) == len(state.actions)

    @property
    def seconds(self) -> float:
        """What the calls of this episode have taken."""
        return self._seconds

    async def close(self) -> None:
        """Close the environment and give the process back; later calls do nothing."""
        self._closing = True
        if self._forking is not None:
            await asyncio.wait({self._forking})
        await self._release()
        self._healthy = False

    async def _release(self) -> None:
        worker = self._worker
        if worker is None:
            return
        healthy, memory = self._healthy and not worker.busy, None
        if healthy and self._task is not None:
            try:
                answer = await worker.call({"call": "close"}, _CLOSE_CALL_SECONDS)
                healthy, memory = "error" not in answer, answer.get("value")
            except (TimeoutError, ConnectionError):
                healthy = False
        if self._worker is not None:  # not closed by someone else meanwhile
            self._worker = None
            self._places.give_back(worker, healthy, memory)

    async def _replayed(
        self, task: Task, actions: list[str], expected: str, taken: float, timeout: float | None
    ) -> EnvHandle:
        """Repeat here what was done elsewhere, where it took `taken` seconds."""
        await self.take_place(task, timeout)
        try:
            observation = await self._start("replay", task, actions, taken)
            if observation != expected:
                raise ReplayMismatch(
                    f"Environment {task.env_id!r} gave another observation when the "
                    f"{len(actions)} actions of task {task.id!r} were repeated: "
                    f"{observation[:200]!r} instead of {expected[:200]!r}. Only deterministic "
                    "environments can be forked by replay."
                )
        except BaseException:
            await asyncio.shield(self.close())
            raise
        self._places.counts.replayed += 1
        self._observation = observation
        return self

    def _forking_is_faster(self, env_id: str) -> bool:
        """Compare forking, as measured before, with what this episode's calls have taken."""
        if not self._places.kind(env_id).placement.fork_process:
            return False
        forking = self._places.starter.fork_seconds.get(env_id, _FORK_SECONDS)
        return self._seconds > _FORK_FACTOR * forking

    async def _have_room_for_copy(self, task: Task, timeout: float) -> bool:
        """Wait for a place; False if this environment was closed meanwhile."""
        await self._places.place(task, room_only=True, timeout=timeout)
        if self._closing:
            self._places.give_back_room(task.env_id)
        return not self._closing

    async def _copied(self, task: Task, worker: WorkerProcess) -> EnvHandle:
        """Fork the process; the lock is held, and there is room for the copy."""
        # Once asked, the process will fork: a cancelled caller must not leave the answer behind.
        work = self._forking = self._places.starter.run(self._forked(task, worker))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(self._close_unwanted)
            raise

    async def _forked(self, task: Task, worker: WorkerProcess) -> EnvHandle:
        """Fork the process, for which there is room; gives the lock back."""
        copy = WorkerProcess()
        copy.env_id, copy.episodes, copy.tasks = worker.env_id, worker.episodes, set(worker.tasks)
        started = time.perf_counter()
        try:
            copy.pid = await self._ask_for_copy(task, worker, copy)
            self._places.starter.adopt(copy)
            self._places.starter.measured_fork(task.env_id, time.perf_counter() - started)
        except BaseException:
            copy.close()  # a process that was forked all the same sees that and ends
            self._places.give_back_room(task.env_id)
            raise
        finally:
            self._lock.release()
        twin = EnvHandle(self._places)
        twin._worker, twin._task = copy, task
        twin._actions, twin._observation = list(self._actions), self._observation
        twin._seconds = self._seconds
        self._places.counts.forked += 1
        return twin

    async def _ask_for_copy(self, task: Task, worker: WorkerProcess, copy: WorkerProcess) -> int:
        """Have the process fork, and connect to the copy; returns the copy's process id."""
        ours, theirs = socket.socketpair()
        timeout = self._places.deadline(task.env_id)
        try:
            await connect(copy, ours)
            answer = await worker.call({"call": "fork"}, timeout, theirs)
        except (TimeoutError, ConnectionError) as error:
            raise await self._lost("fork", task, worker, error, timeout) from None
        finally:
            theirs.close()
        if "error" in answer:  # the process itself is well
            raise _failure("fork", task, answer["error"], answer["kind"])
        return int(answer["value"])

    def _close_unwanted(self, work: asyncio.Task[EnvHandle]) -> None:
        if not work.cancelled() and work.exception() is None:
            self._places.starter.run(work.result().close())

    async def _start(self, call: str, task: Task, actions: list[str], seconds: float = 0.0) -> Any:
        """Reset, and repeat actions, which had taken `seconds` elsewhere."""
        self._task, self._actions, self._seconds = task, actions, 0.0
        if self._worker is not None:
            self._worker.episodes += 1
            self._worker.tasks.add(task.id)
        message = {
            "call": call,
            "task": task.to_json(),
            "environment": self._places.kind(task.env_id).registration,
            "actions": actions,
        }
        async with self._places.resets:
            return await self._call(message, _REPLAY_FACTOR * seconds)

    async def _call(self, message: dict[str, Any], more_seconds: float = 0.0) -> Any:
        worker = self._worker
        if worker is None or not self._healthy:
            raise EnvironmentFailure("The environment has failed or was closed before.", "died")
        timeout = self._places.deadline(worker.env_id) + more_seconds
        started = time.perf_counter()
        try:
            answer = await worker.call(message, timeout)
        except (TimeoutError, ConnectionError) as error:
            raise await self._lost(message["call"], self._task, worker, error, timeout) from None
        self._seconds += time.perf_counter() - started
        if "error" in answer:
            self._healthy = False
            raise _failure(message["call"], self._task, answer["error"], answer["kind"])
        return answer["value"]

    async def _lost(
        self, call: str, task: Task | None, worker: WorkerProcess, error: Exception, timeout: float
    ) -> EnvironmentFailure:
        """Give a process up that hangs or has died; returns what to raise."""
        self._healthy = False
        if isinstance(error, TimeoutError):
            self._places.discard(worker, "failed")
            text = f"no answer within {timeout:g} s"
            return _failure(call, task, text, "timeout")
        return _failure(call, task, await self._places.starter.how_it_ended(worker), "died")


def _failure(call: str, task: Task | None, text: str, kind: str) -> EnvironmentFailure:
    where = f"environment {task.env_id!r}, task {task.id!r}" if task else "?"
    return EnvironmentFailure(f"`{call}` of {where}: {text}", kind)
