"""A vLLM server that runs already, on this machine or another, as `agentrl serve-vllm` starts it.

Completions go through the OpenAI-compatible route with token ids in and out, everything else
through the routes that vLLM opens with `VLLM_SERVER_DEV_MODE=1`.  Those ask for no key: whoever
reaches the server can change its weights, so it belongs on a private network.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from agentrl.engines.base import SamplingParams
from agentrl.engines.openai.client import OpenAIClient
from agentrl.engines.openai.reply import Reply
from agentrl.engines.openai.server import Server as OpenAIServer
from agentrl.engines.vllm.arguments import MOST_REQUESTS
from agentrl.engines.vllm.backend import Adapter, Answer, Counters, Request
from agentrl.engines.vllm.loop_thread import LoopThread
from agentrl.errors import ConfigError, EngineError

Result = TypeVar("Result")
_OWN = ("extra_args", "detokenize", "max_tokens", "logprobs", "temperature", "top_p", "seed")
"""Sampling arguments that go by another name, or are written by the client."""


class Server:
    """Asks a server; closing it leaves the server running.

    Attributes:
        max_context: longest prompt plus completion, as the server says.
        counters: added up from its answers; forward passes are not known.
    """

    def __init__(self, url: str, *, seconds: float) -> None:
        """Connect; blocks until the server has answered.

        Args:
            url: without a path.
            seconds: that anything asked for may take.

        Raises:
            EngineError: it does not answer.
            ConfigError: it does not let its weights be changed, or lacks AgentRL's parts.
        """
        self._url, self._seconds = url.rstrip("/"), seconds
        self.counters = Counters()
        self._thread = LoopThread("vllm server")
        self._closed = False
        try:
            self._thread.wait(self._connect())
        except BaseException:
            self._thread.close()
            raise

    async def _connect(self) -> None:
        local = urlsplit(self._url).hostname in ("localhost", "127.0.0.1", "::1")
        self._control = httpx.AsyncClient(timeout=self._seconds, trust_env=not local)
        model = (await self._ask("GET", "v1/models"))["data"][0]
        self.max_context = int(model["max_model_len"])
        server = OpenAIServer(
            url=f"{self._url}/v1",
            model=str(model["id"]),
            concurrency=4 * MOST_REQUESTS,  # the server has a queue of its own
            tries=2,
            timeout=self._seconds,
            deadline=self._seconds,
        )
        self._client = OpenAIClient(server)
        try:
            await self._call("agentrl_version", ())
        except EngineError as error:
            raise ConfigError(
                f"The server at {self._url} does not let AgentRL into its workers ({error}). Start "
                "it with `agentrl serve-vllm MODEL`."
            ) from error

    async def generate(self, request: Request) -> Answer:
        """Sample a completion."""
        return await self._do(self._generate(request))

    async def _generate(self, request: Request) -> Answer:
        sampling = request.sampling
        params = SamplingParams(
            temperature=sampling["temperature"],
            top_p=sampling["top_p"],
            max_tokens=sampling["max_tokens"],
            seed=sampling.get("seed"),
        )
        extra = {key: value for key, value in sampling.items() if key not in _OWN}
        extra |= {"return_token_ids": True, "vllm_xargs": sampling["extra_args"]}
        if request.adapter is not None:
            extra["model"] = request.adapter.name
        reply = await self._client.complete(request.prompt_ids, params, logprobs=True, extra=extra)
        return self._answer(request, reply)

    def _answer(self, request: Request, reply: Reply) -> Answer:
        if reply.ids is None or reply.logprobs is None:
            raise EngineError(f"The server at {self._url} gives no token ids or no log-probs.")
        if reply.prompt_ids is not None and reply.prompt_ids != list(request.prompt_ids):
            raise EngineError("The server read another prompt than the ids that were sent.")
        cached = reply.spent.cached_tokens
        self.counters.sampled_tokens += len(reply.ids)
        self.counters.cache_queries += len(request.prompt_ids)
        self.counters.cache_hits += cached
        return Answer(reply.ids, reply.logprobs, reply.finish, reply.stop_reason, cached)

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method on all workers; arguments must be plain values."""
        return await self._do(self._call(method, arguments))

    async def _call(self, method: str, arguments: tuple[Any, ...]) -> list[Any]:
        body = {"method": method, "args": list(arguments), "timeout": self._seconds}
        results: list[Any] = (await self._ask("POST", "collective_rpc", body))["results"]
        return results

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what a route answers: JSON, or its text.

        Raises:
            EngineError: there was no answer, or one with an error status.
        """
        url = f"{self._url}/{path}"
        try:
            answer = await self._control.request(method, url, json=body, headers=self._headers())
        except httpx.HTTPError as error:
            raise EngineError(
                f"{url} does not answer ({type(error).__name__}: {error})."
            ) from error
        if not answer.is_success:
            said = " ".join(answer.text.split())[:300]
            raise EngineError(f"{url} answered with status {answer.status_code}: {said}")
        try:
            return answer.json()
        except ValueError:
            return answer.text

    def _headers(self) -> dict[str, str]:
        key = os.environ.get("OPENAI_API_KEY")
        return {"Authorization": f"Bearer {key}"} if key else {}

    async def pause(self) -> None:
        """Stop between two tokens, and forget keys and values of running requests too."""
        await self._post("pause?mode=keep&clear_cache=true")
        await self._post("reset_prefix_cache?reset_running_requests=true")

    async def resume(self) -> None:
        """Go on."""
        await self._post("resume")

    async def drop_caches(self) -> None:
        """Forget cached keys and values."""
        await self._post("reset_prefix_cache")

    async def sleep(self) -> None:
        """Give back the accelerator's memory."""
        await self._post("sleep?level=1")

    async def wake(self) -> None:
        """Take the memory again."""
        await self._post("wake_up")

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load adapters from a folder that the server sees."""
        body = {"lora_name": adapter.name, "lora_path": str(adapter.folder)}
        await self._post("v1/load_lora_adapter", body)

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget adapters."""
        await self._post("v1/unload_lora_adapter", {"lora_name": adapter.name})

    async def _post(self, path: str, body: dict[str, Any] | None = None) -> None:
        await self._do(self._ask("POST", path, body))

    async def close(self) -> None:
        """Close the connections."""
        if self._closed:
            return
        self._closed = True
        await self._thread.do(self._disconnect())
        self._thread.close()

    async def _disconnect(self) -> None:
        await self._client.close()
        await self._control.aclose()

    async def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._closed:
            work.close()
            raise EngineError("The engine is closed; build a new one.")
        return await self._thread.do(work)
