"""Completions and chats from any OpenAI-compatible server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

from agentrl.engines.base import SamplingParams
from agentrl.engines.openai.failure import FailureKind, ServerFailure
from agentrl.engines.openai.reply import ChatReply, Reply, read_chat, read_completion
from agentrl.engines.openai.server import Server
from agentrl.engines.openai.transport import Transport
from agentrl.errors import ConfigError, ContextOverflow

Message = Mapping[str, Any]
R = TypeVar("R", bound=Reply)


class OpenAIClient:
    """Asks one model of one server; use as an asynchronous context manager, or `close` it.

    Args:
        server: who is asked.
        transport: how; by default over HTTP as `server` says.
    """

    def __init__(self, server: Server, transport: Transport | None = None) -> None:
        self.server = server
        self._transport = transport or Transport(server)
        self.usage = self._transport.usage

    async def complete(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        logprobs: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Continue a prompt of text or token ids.

        Args:
            prompt: token ids are used as they are, nothing is encoded again.
            params: how to sample.
            logprobs: ask for the log-prob of every sampled token.
            extra: further fields of the request, for example vLLM's `return_token_ids`.

        Raises:
            ServerFailure: there was no usable answer.
            ContextOverflow: the prompt is too long.
        """
        body = {
            "model": self.server.model,
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "max_tokens": params.max_tokens,
            **_sampling(params),
            **({"logprobs": 0} if logprobs else {}),
            **(extra or {}),
        }
        return await self._call("completions", body, read_completion)

    async def chat(
        self,
        messages: Sequence[Message],
        params: SamplingParams,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        logprobs: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> ChatReply:
        """Ask for the next turn of a conversation.

        Args:
            messages: from the first on.
            params: how to sample.
            tools: schemas of what may be called, see `agentrl.tools.base.schema_of`.
            logprobs: ask for the log-prob of every sampled token.
            extra: further fields of the request.

        Raises:
            ServerFailure: there was no usable answer.
            ContextOverflow: the conversation is too long.
        """
        body = {
            "model": self.server.model,
            "messages": [dict(message) for message in messages],
            self.server.length_field: params.max_tokens,
            **_sampling(params),
            **({"tools": list(tools)} if tools else {}),
            **({"logprobs": True} if logprobs else {}),
            **(extra or {}),
        }
        return await self._call("chat/completions", body, read_chat)

    async def context_length(self) -> int | None:
        """Return the longest prompt plus completion; None where the server does not say.

        Raises:
            ConfigError: the server does not have the model.
            ServerFailure: there was no usable answer.
        """
        data = await self._transport.request("GET", "models")
        models = [model for model in data.get("data") or () if isinstance(model, dict)]
        for model in models:
            if model.get("id") == self.server.model:
                length = model.get("max_model_len")
                return length if isinstance(length, int) else None
        names = ", ".join(repr(model.get("id")) for model in models[:10])
        raise ConfigError(
            f"The server has no model {self.server.model!r}; it has {names or 'none'}."
        )

    @property
    def cost(self) -> float | None:
        """What everything so far cost; None without `Server.prices`."""
        return self.usage.cost(self.server.prices)

    async def _call(
        self, path: str, body: Mapping[str, Any], read: Callable[[Mapping[str, Any]], R]
    ) -> R:
        started = time.monotonic()
        try:
            reply = read(await self._transport.request("POST", path, body))
        except ServerFailure as failure:
            self.usage.failures += 1
            if failure.kind is FailureKind.CONTEXT:
                raise ContextOverflow(str(failure)) from failure
            raise
        self.usage.add(reply.spent, time.monotonic() - started)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _sampling(params: SamplingParams) -> dict[str, Any]:
    """Return the fields that say how to sample; those beyond OpenAI's own only where needed."""
    if params.temperature_rule is not None:
        raise ConfigError(
            "A server has one temperature for all tokens of a completion; use the embedded engine "
            "for `temperature_rule`."
        )
    fields: dict[str, Any] = {"temperature": params.temperature, "top_p": params.top_p}
    if params.top_k:
        fields["top_k"] = params.top_k
    if params.stop_strings:
        fields["stop"] = list(params.stop_strings)
    if params.stop_ids:
        fields["stop_token_ids"] = list(params.stop_ids)
    if params.seed is not None:
        fields["seed"] = params.seed
    return fields
