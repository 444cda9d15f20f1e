"""vLLM in processes of its own beside this one: `AsyncLLM`."""

from __future__ import annotations

from typing import Any

from agentrl.engines.vllm.backend import Adapter, Answer, Counters, Request
from agentrl.engines.vllm.loop_thread import LoopThread
from agentrl.engines.vllm.native import CountingLogger, answer_of, lora_request, sampling_params
from agentrl.errors import EngineError


class Process:
    """Talks to an engine that vLLM runs in a process, with a process for every GPU.

    vLLM starts a fresh interpreter: a script that starts it needs `if __name__ == "__main__":`.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        """Start vLLM; blocks until the model is loaded.

        Args:
            arguments: of vLLM's engine.
        """
        self.counters = Counters()
        self._thread = LoopThread("vllm")
        self._closed = False
        try:
            self._engine = self._thread.wait(self._start(arguments))
        except BaseException:
            self._thread.close()
            raise

    async def _start(self, arguments: dict[str, Any]) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        def logger(*_: object) -> CountingLogger:
            return CountingLogger(self.counters)

        # Without vLLM's own loggers; ours counts all the same.
        wanted = AsyncEngineArgs(**arguments, disable_log_stats=True)
        return AsyncLLM.from_engine_args(wanted, stat_loggers=[logger])

    async def generate(self, request: Request) -> Answer:
        """Sample a completion."""
        answer: Answer = await self._do(self._generate(request))
        return answer

    async def _generate(self, request: Request) -> Answer:
        outputs = self._engine.generate(
            {"prompt_token_ids": list(request.prompt_ids)},
            sampling_params(request),
            request.tag,
            lora_request=lora_request(request.adapter),
        )
        async for output in outputs:
            if output.finished:
                return answer_of(output)
        raise EngineError("vLLM ended a request without a completion.")

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method on all workers; arguments must be plain values."""
        results: list[Any] = await self._do(self._engine.collective_rpc(method, args=arguments))
        return results

    async def pause(self) -> None:
        """Stop between two tokens, and forget keys and values of running requests too."""
        await self._do(self._engine.pause_generation(mode="keep", clear_cache=True))

    async def resume(self) -> None:
        """Go on."""
        await self._do(self._engine.resume_generation())

    async def drop_caches(self) -> None:
        """Forget cached keys and values."""
        await self._do(self._engine.reset_prefix_cache())

    async def sleep(self) -> None:
        """Give back the accelerator's memory."""
        await self._do(self._engine.sleep(1))

    async def wake(self) -> None:
        """Take the memory again."""
        await self._do(self._engine.wake_up())

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load adapters."""
        await self._do(self._engine.add_lora(lora_request(adapter)))

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget adapters."""
        await self._do(self._engine.remove_lora(adapter.number))

    async def close(self) -> None:
        """End vLLM's processes."""
        if self._closed:
            return
        self._closed = True
        await self._thread.do(self._shut_down())
        self._thread.close()

    async def _shut_down(self) -> None:
        self._engine.shutdown()
        self._engine = None  # or vLLM shuts down again when the interpreter ends, and complains

    async def _do(self, coroutine: Any) -> Any:
        if self._closed:
            coroutine.close()
            raise EngineError("The engine is closed; build a new one.")
        try:
            return await self._thread.do(coroutine)
        except EngineError:
            raise
        except Exception as error:  # vLLM has many; all mean that it did not do what was asked
            raise EngineError(f"vLLM failed: {type(error).__name__}: {error}") from error
