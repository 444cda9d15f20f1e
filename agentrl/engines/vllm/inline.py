"""vLLM inside this process, driven by a thread of its own."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from agentrl.engines.vllm.backend import Adapter, Answer, Counters, Request
from agentrl.engines.vllm.native import CountingLogger, answer_of, lora_request, sampling_params
from agentrl.errors import EngineError

Result = TypeVar("Result")
_SWITCH = "VLLM_ENABLE_V1_MULTIPROCESSING"
_CLOSED = "The engine is closed; build a new one."


class Inline:
    """Steps an `LLMEngine` as long as it has requests; everything else runs between two steps.

    Starting vLLM changes this process: it makes a default group of `torch.distributed` and, on the
    CPU, sets its threads.  The random state of torch is put back.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        """Start vLLM; blocks until the model is loaded.

        Args:
            arguments: of vLLM's engine.
        """
        self.counters = Counters()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._running: dict[str, Future[Answer]] = {}
        self._paused = False
        self._failure: str | None = None
        self._ended = False
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(arguments, started), name="vllm", daemon=True
        )
        self._thread.start()
        started.result()

    async def generate(self, request: Request) -> Answer:
        """Sample a completion."""
        future: Future[Answer] = Future()
        self._commands.put(lambda: self._submit(request, future))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._commands.put(lambda: self._abort(request.tag))
            raise

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method on the worker; arguments may be any objects."""
        return await self._do(lambda: self._engine.collective_rpc(method, args=arguments))

    async def pause(self) -> None:
        """Stop between two tokens, and forget keys and values of running requests too."""

        def stop() -> None:
            self._paused = True
            self._engine.engine_core.reset_prefix_cache(reset_running_requests=True)

        await self._do(stop)

    async def resume(self) -> None:
        """Go on."""

        def go_on() -> None:
            self._paused = False

        await self._do(go_on)

    async def drop_caches(self) -> None:
        """Forget cached keys and values."""
        await self._do(lambda: self._engine.reset_prefix_cache())

    async def sleep(self) -> None:
        """Give back the accelerator's memory."""
        await self._do(lambda: self._engine.sleep(1))

    async def wake(self) -> None:
        """Take the memory again."""
        await self._do(lambda: self._engine.wake_up())

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load adapters."""
        await self._do(lambda: self._engine.add_lora(lora_request(adapter)))

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget adapters."""
        await self._do(lambda: self._engine.remove_lora(adapter.number))

    async def close(self) -> None:
        """End the thread and free the model."""
        if self._ended:
            return
        self._ended = True
        self._commands.put(_stop)
        await asyncio.to_thread(self._thread.join)

    # -- in the caller's thread ------------------------------------------------------------------

    async def _do(self, action: Callable[[], Result]) -> Result:
        """Run something between two steps and return what it returns."""
        if self._ended:
            raise EngineError(_CLOSED)
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                if self._failure is not None:
                    raise EngineError(self._failure)
                future.set_result(action())
            except Exception as error:  # whatever it is, the caller is to know
                future.set_exception(error)

        self._commands.put(run)
        return await asyncio.wrap_future(future)

    # -- in the engine's thread ------------------------------------------------------------------

    def _serve(self, arguments: dict[str, Any], started: Future[None]) -> None:
        try:
            self._engine = self._start(arguments)
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            while True:
                self._obey()
                if self._running and not self._paused:
                    self._step()
        except _Stopped:
            self._fail("The engine was closed before the request ended.")
        finally:
            self._engine.engine_core.shutdown()
            del self._engine

    def _start(self, arguments: dict[str, Any]) -> Any:
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        def logger(*_: object) -> CountingLogger:
            return CountingLogger(self.counters)

        with _alone():
            return LLMEngine.from_engine_args(EngineArgs(**arguments), stat_loggers=[logger])

    def _obey(self) -> None:
        """Run what is asked for; waits for something where there is nothing to do."""
        idle = self._paused or not self._running
        while idle or not self._commands.empty():
            self._commands.get()()
            idle = self._paused or not self._running

    def _submit(self, request: Request, future: Future[Answer]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            if self._failure is not None:
                raise EngineError(self._failure)
            self._engine.add_request(
                request.tag,
                {"prompt_token_ids": list(request.prompt_ids)},
                sampling_params(request),
                lora_request=lora_request(request.adapter),
            )
        except Exception as error:
            future.set_exception(error)
        else:
            self._running[request.tag] = future

    def _abort(self, tag: str) -> None:
        if self._running.pop(tag, None) is not None and self._failure is None:
            self._engine.abort_request([tag])

    def _step(self) -> None:
        try:
            outputs = self._engine.step()
        except Exception as error:  # vLLM's state is unknown from here on
            self._failure = f"vLLM failed: {type(error).__name__}: {error}"
            self._fail(self._failure, error)
            return
        for output in outputs:
            if output.finished and (future := self._running.pop(output.request_id, None)):
                future.set_result(answer_of(output))

    def _fail(self, reason: str, cause: Exception | None = None) -> None:
        running, self._running = self._running, {}
        for future in running.values():
            failure = EngineError(reason)
            failure.__cause__ = cause
            future.set_exception(failure)


class _Stopped(Exception):
    """The thread is to end."""


def _stop() -> None:
    raise _Stopped


@contextmanager
def _alone() -> Iterator[None]:
    """Let vLLM start in this process, and leave the process as it was."""
    before, set_threads = os.environ.get(_SWITCH), torch.set_num_threads
    state = torch.get_rng_state()
    os.environ[_SWITCH] = "0"
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # this process's threads are ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # vLLM looks at every name of torch, the old ones too
            yield
    finally:
        torch.set_num_threads = set_threads  # vLLM replaces it on the CPU
        torch.set_rng_state(state)
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
