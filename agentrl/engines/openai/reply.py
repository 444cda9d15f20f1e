"""What a server answered, checked and in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrl.engines.openai.failure import FailureKind, ServerFailure
from agentrl.engines.openai.usage import Spent, spent_of
from agentrl.tools.base import ToolCall, ToolError, ToolErrorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Text that was sampled, and what the server says about it.

    Attributes:
        text: content without reasoning.
        finish: `stop`, `length`, `tool_calls` or what else the server calls it.
        stop_reason: vLLM's stop id or stop string; None where it is the end-of-turn token or not
            said.
        ids: sampled token ids, where the server gives them.
        prompt_ids: token ids of the prompt, where the server gives them.
        logprobs: one per sampled token, where the server gives them.
        spent: tokens as the server counts them.
        model: as the server calls what answered.
    """

    text: str
    finish: str
    stop_reason: str | int | None = None
    ids: list[int] | None = None
    prompt_ids: list[int] | None = None
    logprobs: list[float] | None = None
    spent: Spent = field(default_factory=Spent)
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """A call that the server read from what the model wrote.

    Attributes:
        id: to be given back with the result.
        name: of the tool.
        arguments: JSON, as the model wrote it.
    """

    id: str
    name: str
    arguments: str

    def read(self) -> ToolCall:
        """Return the call with its arguments.

        Raises:
            ToolError: the arguments are no JSON object.
        """
        try:
            arguments = json.loads(self.arguments or "{}")
        except ValueError as error:
            text = f"The arguments of {self.name} are no JSON: {error}."
            raise ToolError(text, ToolErrorKind.MALFORMED) from error
        if not isinstance(arguments, dict):
            text = f"The arguments of {self.name} must be a JSON object."
            raise ToolError(text, ToolErrorKind.MALFORMED)
        return ToolCall(name=self.name, arguments=arguments, id=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply(Reply):
    """A turn of the assistant.

    Attributes:
        message: as the server gave it, to be appended to the conversation.
        reasoning: what was thought before the content, where the server tells it apart.
        calls: in the order of the model.
    """

    message: Mapping[str, Any]
    reasoning: str = ""
    calls: tuple[ChatCall, ...] = ()


def read_completion(data: Mapping[str, Any]) -> Reply:
    """Read an answer of `/completions`.

    Raises:
        ServerFailure: it is of another form.
    """
    try:
        choice = data["choices"][0]
        logprobs = choice.get("logprobs")
        return Reply(
            text=str(choice["text"] or ""),
            logprobs=_numbers(logprobs["token_logprobs"]) if logprobs else None,
            **_common(data, choice),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(error) from error


def read_chat(data: Mapping[str, Any]) -> ChatReply:
    """Read an answer of `/chat/completions`.

    Raises:
        ServerFailure: it is of another form.
    """
    try:
        choice = data["choices"][0]
        message = choice["message"]
        logprobs = choice.get("logprobs")
        return ChatReply(
            text=str(message.get("content") or ""),
            message=message,
            reasoning=str(message.get("reasoning_content") or message.get("reasoning") or ""),
            calls=tuple(_call(call) for call in message.get("tool_calls") or ()),
            logprobs=_numbers([token["logprob"] for token in logprobs["content"]])
            if logprobs and logprobs.get("content")
            else None,
            **_common(data, choice),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(error) from error


def _common(data: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
    prompt_ids = choice.get("prompt_token_ids") or data.get("prompt_token_ids")
    return {
        "finish": str(choice.get("finish_reason") or ""),
        "stop_reason": choice.get("stop_reason"),
        "ids": _ids(choice.get("token_ids")),
        "prompt_ids": _ids(prompt_ids),
        "spent": spent_of(data),
        "model": str(data.get("model") or ""),
    }


def _call(call: Mapping[str, Any]) -> ChatCall:
    function = call["function"]
    arguments = function.get("arguments") or ""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ChatCall(id=str(call.get("id") or ""), name=str(function["name"]), arguments=arguments)


def _ids(value: Any) -> list[int] | None:
    return None if value is None else [int(token) for token in value]


def _numbers(value: Any) -> list[float]:
    return [float(number) for number in value]


def _unreadable(error: Exception) -> ServerFailure:
    return ServerFailure(
        f"The server's answer is not of the OpenAI form: {error!r}", FailureKind.REPLY
    )
