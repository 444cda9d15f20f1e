"""A chat with a model of this machine, where `ChatAgent` would else ask a server."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch

from agentrl.engines.base import Completion, Engine, SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.engines.openai.reply import ChatCall, ChatReply
from agentrl.engines.openai.usage import Spent
from agentrl.errors import ConfigError
from agentrl.models.load import load
from agentrl.tokens import Renderer
from agentrl.tools.base import ToolCall, ToolError, ToolErrorKind
from agentrl.tools.dialects import BadCall, Dialect, Hermes, XmlFunction
from agentrl.tools.dialects.reply import outside_thoughts
from agentrl.types import Message

UNDERSTOOD = {"tool_choice"}
"""Further fields of a request; the tools stay in the prompt even where none may be called."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableCall(ChatCall):
    """A call that the model wrote wrongly.

    Attributes:
        reason: what is wrong, for the model.
    """

    reason: str

    def read(self) -> ToolCall:
        """Say what is wrong.

        Raises:
            ToolError: always.
        """
        raise ToolError(self.reason, ToolErrorKind.MALFORMED)


class EngineChat:
    """Takes turns as a model behind a server would; see `OpenAIClient.chat`.

    A turn is given back as the model wrote it, calls and thoughts included, so that the chat
    template can write it so again.  What earlier turns have in common with the prompt is found in
    the engine's cache.

    Args:
        engine: samples; the caller closes it.
        renderer: of the engine's tokenizer.
        dialect: how calls are written; by default as the chat template explains them.
    """

    def __init__(self, engine: Engine, renderer: Renderer, dialect: Dialect | None = None) -> None:
        self._engine, self._renderer = engine, renderer
        self._dialect = dialect or dialect_of(renderer.tokenizer.chat_template)

    @property
    def tags(self) -> tuple[str, ...]:
        """Texts with a meaning, which a tool's output must not hold."""
        return self._dialect.tags

    async def chat(
        self,
        messages: Sequence[Message],
        params: SamplingParams,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> ChatReply:
        """Sample the next turn of a conversation.

        Args:
            messages: from the first on.
            params: how to sample.
            tools: schemas of what may be called.
            extra: `tool_choice` only.

        Raises:
            ConfigError: `extra` asks for something else.
            ContextOverflow: the conversation is too long.
            TemplateError: the chat template does not accept the messages.
        """
        if unknown := sorted((extra or {}).keys() - UNDERSTOOD):
            raise ConfigError(
                f"A model of this machine does not understand {', '.join(unknown)}; accepted is "
                f"{', '.join(UNDERSTOOD)}. Serve it to send more."
            )
        prompt = self._renderer.prompt(messages, tools)
        stop_ids = (*self._renderer.stop_ids, *params.stop_ids)
        sampling = dataclasses.replace(params, stop_ids=stop_ids)
        return self._reply(prompt, await self._engine.generate(prompt, sampling), tools)

    def _reply(
        self, prompt: Sequence[int], completion: Completion, tools: Sequence[Mapping[str, Any]]
    ) -> ChatReply:
        text = self._renderer.parse(completion.ids).text
        read = self._dialect.read(text, tools).calls if tools else ()
        cut = completion.stop == "length"
        return ChatReply(
            text=outside_thoughts(text).strip(),
            finish="length" if cut else "tool_calls" if read else "stop",
            message={"role": "assistant", "content": text},
            calls=tuple(_chat_call(place, call) for place, call in enumerate(read)),
            ids=completion.ids,
            prompt_ids=list(prompt),
            logprobs=completion.logprobs,
            spent=Spent(
                prompt_tokens=len(prompt),
                cached_tokens=completion.cached_tokens,
                completion_tokens=len(completion.ids),
            ),
        )


@asynccontextmanager
async def open_model(directory: Path) -> AsyncIterator[EngineChat]:
    """Load a model, in bfloat16 on a GPU and in single precision without one, and chat with it.

    Args:
        directory: in the Hugging Face format.

    Raises:
        ConfigError: there is no model, or the engine cannot run it.
        TemplateError: its tokenizer has no chat template, or one that does not close turns.
        DataError: its files are damaged.
    """
    gpu = torch.cuda.is_available()
    model, tokenizer = load(
        directory,
        dtype=torch.bfloat16 if gpu else torch.float32,
        device="cuda" if gpu else "cpu",
    )
    engine = EmbeddedEngine(model, tokenizer)
    try:
        yield EngineChat(engine, Renderer(tokenizer))
    finally:
        await engine.close()


def dialect_of(template: str) -> Dialect:
    """Return the dialect in which a chat template explains calls."""
    return XmlFunction() if "<function=" in template else Hermes()


def fingerprint(directory: Path) -> str:
    """Return a hash of a model's weights, so that answers of other weights are told apart."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _chat_call(place: int, call: ToolCall | BadCall) -> ChatCall:
    name = f"call_{place}"
    if isinstance(call, BadCall):
        return UnreadableCall(id=name, name="", arguments="", reason=call.reason)
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return ChatCall(id=name, name=call.name, arguments=arguments)
