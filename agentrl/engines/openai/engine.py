"""A server as an engine: token ids in, token ids and log-probs out, weights of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from agentrl.engines.base import Completion, EngineStats, SamplingParams, StopKind, check_sampling
from agentrl.engines.openai.client import OpenAIClient
from agentrl.engines.openai.reply import Reply
from agentrl.engines.openai.server import Server
from agentrl.errors import ConfigError, ContextOverflow, EngineError

if TYPE_CHECKING:
    import torch

Logprobs = Literal["raw", "processed", "none"]
"""Which log-probs the server gives.

`raw`: of the model's own distribution, vLLM's default; then only greedy sampling, or temperature 1
without top-p and top-k, is accepted, since elsewhere they are not those of what was sampled from.
`processed`: of the distribution sampled from (`vllm serve --logprobs-mode processed_logprobs`).
`none`: none are asked for and every one is NaN, for evaluation; such episodes cannot be learned
from by a method that needs them, and a loss over them is not finite.
"""

_PLAIN = {
    "return_token_ids": True,
    "skip_special_tokens": False,
    "include_stop_str_in_output": True,
    "ignore_eos": True,
    "repetition_penalty": 1.0,
    "min_p": 0.0,
}
"""Fields of vLLM that keep the server's own defaults out: what ends a completion is said here."""


class OpenAIEngine:
    """Samples from a server that takes and gives token ids, such as vLLM 0.10.2 or later.

    A server has weights of its own, which do not change: it serves evaluation and rollouts of a
    fixed policy, and `update_weights` refuses new ones.

    Args:
        client: of the server; the engine closes it.
        max_context: longest prompt plus completion; `connect` asks the server.
        logprobs: which ones the server gives.
    """

    def __init__(
        self, client: OpenAIClient, *, max_context: int, logprobs: Logprobs = "raw"
    ) -> None:
        self.client = client
        self._max_context = max_context
        self._logprobs = logprobs
        self._stats = EngineStats()

    @classmethod
    async def connect(
        cls, server: Server, *, max_context: int | None = None, logprobs: Logprobs = "raw"
    ) -> Self:
        """Return the engine of a server that answers and has the model.

        Args:
            server: which one.
            max_context: by default what the server says.
            logprobs: which ones it gives.

        Raises:
            ConfigError: the server has no such model, or does not say its longest context.
            ServerFailure: it does not answer.
        """
        client = OpenAIClient(server)
        try:
            length = max_context or await client.context_length()
            if length is None:
                raise ConfigError(
                    f"{server.url} does not say how long the context of {server.model!r} is; give "
                    "`max_context`."
                )
        except BaseException:
            await client.close()
            raise
        return cls(client, max_context=length, logprobs=logprobs)

    @property
    def version(self) -> int:
        """Always 0: the weights are the server's."""
        return 0

    @property
    def max_context(self) -> int:
        """Longest prompt plus completion, in tokens."""
        return self._max_context

    @property
    def temperature_rules(self) -> bool:
        """False: a server has one temperature for all tokens of a completion."""
        return False

    @property
    def shares_weights(self) -> bool:
        """False: the weights are the server's."""
        return False

    @property
    def stats(self) -> EngineStats:
        """Counters since the engine was made, from what the server says it computed."""
        return self._stats

    async def generate(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, session: str | None = None
    ) -> Completion:
        """Sample one completion; `session` is not used, servers find common prefixes themselves.

        Raises:
            ConfigError: the server cannot sample so and say the true log-probs.
            ContextOverflow: the prompt leaves no room.
            EngineError: the server failed, or gives no token ids.
        """
        check_sampling(self, params)
        self._check(prompt_ids, params)
        started = time.monotonic()
        reply = await self.client.complete(
            prompt_ids,
            params,
            logprobs=self._logprobs != "none",
            extra={**_PLAIN, **self._limits(len(prompt_ids), params)},
        )
        completion = self._completion(prompt_ids, params, reply, time.monotonic() - started)
        self._count(len(prompt_ids), completion)
        return completion

    def _check(self, prompt_ids: Sequence[int], params: SamplingParams) -> None:
        if not prompt_ids:
            raise ConfigError("The prompt is empty; it needs at least one token id.")
        if len(prompt_ids) >= self._max_context:
            raise ContextOverflow(
                f"The prompt has {len(prompt_ids)} tokens and the context holds "
                f"{self._max_context}; it must be shorter by at least one."
            )
        plain = (params.temperature, params.top_p, params.top_k) == (1.0, 1.0, 0)
        if self._logprobs == "raw" and params.temperature != 0 and not plain:
            raise ConfigError(
                f"With temperature {params.temperature}, top-p {params.top_p} and top-k "
                f"{params.top_k} a server's raw log-probs are not those of what was sampled from. "
                "Start it with `--logprobs-mode processed_logprobs` and say logprobs='processed', "
                "or give up log-probs with logprobs='none' (evaluation)."
            )

    def _limits(self, prompt: int, params: SamplingParams) -> dict[str, Any]:
        greedy = params.temperature == 0
        return {
            "stop_token_ids": list(params.stop_ids),
            "top_k": 0 if greedy else params.top_k,
            "top_p": 1.0 if greedy else params.top_p,
            "max_tokens": min(params.max_tokens, self._max_context - prompt),
        }

    def _completion(
        self, prompt_ids: Sequence[int], params: SamplingParams, reply: Reply, seconds: float
    ) -> Completion:
        if reply.ids is None:
            raise EngineError(
                f"{self.client.server.url} gives no token ids, and text cannot be turned back into "
                "them; use vLLM 0.10.2 or later, or another engine."
            )
        if reply.prompt_ids is not None and reply.prompt_ids != list(prompt_ids):
            raise EngineError("The server read another prompt than the ids that were sent.")
        count = len(reply.ids)
        logprobs = [math.nan] * count if self._logprobs == "none" else reply.logprobs
        if logprobs is None or len(logprobs) != count or not count:
            given = "no" if logprobs is None else len(logprobs)
            raise EngineError(f"The server gave {given} log-probs for {count} token ids.")
        stop, stop_string = _stop(reply, params)
        return Completion(
            ids=reply.ids,
            logprobs=logprobs,
            entropies=[],
            stop=stop,
            stop_string=stop_string,
            versions=[(self.version, count)],
            cached_tokens=reply.spent.cached_tokens,
            seconds=seconds,
        )

    def _count(self, prompt: int, completion: Completion) -> None:
        stats, sampled = self._stats, len(completion.ids)
        stats.requests += 1
        stats.prompt_tokens += prompt
        stats.sampled_tokens += sampled
        stats.cached_tokens += completion.cached_tokens
        stats.requested_tokens += prompt + sampled - 1
        stats.computed_tokens += prompt + sampled - 1 - completion.cached_tokens
        stats.busy_seconds += completion.seconds

    def release(self, session: str) -> None:
        """Nothing to free here; the server drops what it does not need."""

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]] | None,
        version: int,
        *,
        in_flight: bool = False,
    ) -> None:
        """Accept that nothing has changed.

        Raises:
            ConfigError: there are new weights; a server keeps its own.
        """
        if weights is not None or version != self.version:
            raise ConfigError(
                "An OpenAI-compatible server keeps its own weights, so a policy cannot be trained "
                "with it; train with the embedded engine or vLLM (`agentrl serve-vllm`)."
            )

    async def sleep(self) -> None:
        """Nothing to do: the memory is the server's."""

    async def wake(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Close the connections; running requests fail."""
        await self.client.close()


def _stop(reply: Reply, params: SamplingParams) -> tuple[StopKind, str | None]:
    """Return what ended a completion, and the stop string if it was one."""
    if reply.finish == "length":
        return "length", None
    if reply.finish == "abort":
        return "cancelled", None
    if isinstance(reply.stop_reason, str):
        return "stop_string", reply.stop_reason
    if reply.stop_reason is None and reply.ids and reply.ids[-1] not in params.stop_ids:
        found = [text for text in params.stop_strings if text in reply.text]
        if found:
            return "stop_string", found[0]
    return "stop_id", None
