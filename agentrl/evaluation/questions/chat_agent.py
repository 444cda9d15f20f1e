"""A model that answers questions in a chat, with tools if it has any."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from agentrl.engines import SamplingParams
from agentrl.engines.openai import ChatReply
from agentrl.envs.questions import Question
from agentrl.errors import ContextOverflow, EnvironmentFailure
from agentrl.evaluation.questions.instructions import INSTRUCTIONS, PLAIN
from agentrl.evaluation.questions.prediction import ANSWERED, Prediction
from agentrl.scoring.gaia import final_answer
from agentrl.tools.base import Tool, ToolCall, ToolContext, ToolError, ToolErrorKind, ToolResult
from agentrl.tools.dialects.reply import BadCall
from agentrl.tools.toolbox import Toolbox
from agentrl.tree import StopReason

ROOT = "root_url"
"""In a question's metadata: the page to start from, as WebWalkerQA names one."""
LAST_TURN = "No more tools can be called. Give the final answer now, in the form asked for."
TEXT_FILES = {".csv", ".json", ".jsonl", ".md", ".py", ".tsv", ".txt", ".xml", ".yaml"}
LONGEST_FILE = 20_000
"""Characters of an attached text file that are shown; of other files, only where they lie."""


def read_answer(text: str) -> str | None:
    """Return the marked answer of a text, or all of it where it marks none; None if it is empty."""
    return final_answer(text) or text.strip() or None


class ChatModel(Protocol):
    """Who takes turns: `OpenAIClient`, or `EngineChat` for a model of this machine."""

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> ChatReply:
        """Return the next turn of a conversation."""
        ...


class ChatAgent:
    """Answers questions; give it to `answer_questions`.

    Args:
        client: who is asked; the caller closes it.
        params: how to sample; with a seed, each sample of a question has one of its own.
        tools: that may be called; the caller closes them.
        instruction: system message; see `INSTRUCTIONS` for those of the sets.
        max_turns: turns with tools; then one more without them.
        max_calls: of tools; None for any number.
        max_characters: of a tool's result.
        read: returns the answer of the last turn.
        extra: further fields of each request, for example `chat_template_kwargs`.
        tags: texts with a meaning to the model, which no tool's result may hold.
    """

    def __init__(
        self,
        client: ChatModel,
        params: SamplingParams,
        *,
        tools: Sequence[Tool] = (),
        instruction: str = INSTRUCTIONS[PLAIN],
        max_turns: int = 20,
        max_calls: int | None = None,
        max_characters: int = 8000,
        read: Callable[[str], str | None] = read_answer,
        extra: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        self._client, self._params, self._tools = client, params, tuple(tools)
        self._instruction, self._read, self._extra = instruction, read, dict(extra or {})
        self._max_turns, self._max_calls = max_turns, max_calls
        self._max_characters, self._tags = max_characters, tags

    async def __call__(self, question: Question, sample: int) -> Prediction:
        """Answer a question.

        Raises:
            EngineError: the server failed.
            EnvironmentFailure: a service behind a tool is down, which says nothing about the model.
        """
        toolbox = Toolbox(
            self._tools,
            max_calls=self._max_calls,
            max_characters=self._max_characters,
            tags=self._tags,
        )
        episode = _Episode(self._messages(question), time.monotonic())
        root = question.metadata.get(ROOT)
        context = ToolContext(
            episode=f"{question.id}-{sample}",
            seed=sample,
            options={"file": question.file, **({ROOT: root} if root else {})},
        )
        try:
            last = await self._converse(episode, toolbox, context, self._sampling(sample))
        except ContextOverflow as error:
            stop = StopReason.TRUNCATED_TOKENS
            return episode.prediction(question, toolbox, None, stop, str(error))
        if last.calls or last.finish == "length":
            stop = StopReason.TRUNCATED_TURNS if last.calls else StopReason.TRUNCATED_TOKENS
            return episode.prediction(question, toolbox, None, stop)
        return episode.prediction(question, toolbox, self._read(last.text), ANSWERED)

    async def _converse(
        self, episode: _Episode, toolbox: Toolbox, context: ToolContext, params: SamplingParams
    ) -> ChatReply:
        """Take turns until one calls no tool; return it."""
        for turn in range(self._max_turns + 1):
            final = turn == self._max_turns and bool(self._tools)
            if final:
                episode.messages.append({"role": "user", "content": LAST_TURN})
            reply = await self._client.chat(
                episode.messages,
                params,
                tools=toolbox.schemas,
                extra={**self._extra, **({"tool_choice": "none"} if final else {})},
            )
            episode.messages.append(reply.message)
            episode.tokens += reply.spent.completion_tokens
            if final or not reply.calls:
                break
            results = await toolbox.run([_read_call(call) for call in reply.calls], context)
            _check_services(results)
            for call, result in zip(reply.calls, results, strict=True):
                message = {"role": "tool", "tool_call_id": call.id, "content": result.text}
                episode.messages.append(message)
        return reply

    def _messages(self, question: Question) -> list[Mapping[str, Any]]:
        asked = question.question + (_shown_file(question.file) if question.file else "")
        if root := question.metadata.get(ROOT):
            asked += f"\n\nThe website to start from: {root}"
        return [
            {"role": "system", "content": self._instruction},
            {"role": "user", "content": asked},
        ]

    def _sampling(self, sample: int) -> SamplingParams:
        seed = self._params.seed
        return (
            self._params if seed is None else dataclasses.replace(self._params, seed=seed + sample)
        )


@dataclasses.dataclass(slots=True)
class _Episode:
    """What has been said so far, since when, and how many tokens it took."""

    messages: list[Mapping[str, Any]]
    started: float
    tokens: int = 0

    def prediction(
        self, question: Question, toolbox: Toolbox, answer: str | None, stop: str, error: str = ""
    ) -> Prediction:
        return Prediction(
            id=question.id,
            prediction=answer,
            stop=str(stop),
            error=error,
            calls=toolbox.calls_made,
            tokens=self.tokens,
            seconds=time.monotonic() - self.started,
            transcript=self.messages,
        )


def _read_call(call: Any) -> ToolCall | BadCall:
    try:
        read: ToolCall = call.read()
    except ToolError as error:
        return BadCall(str(error).rstrip("."))
    return read


def _check_services(results: Sequence[ToolResult]) -> None:
    for result in results:
        if result.error is ToolErrorKind.UNAVAILABLE:
            raise EnvironmentFailure(f"A service behind a tool is down: {result.text}")


def _shown_file(path: str) -> str:
    """Return an attached file as part of the question."""
    file = Path(path)
    place = f"\n\nThe attached file is at {path}"
    if file.suffix.lower() not in TEXT_FILES:
        return place
    text = file.read_text(encoding="utf-8", errors="replace")
    cut = text if len(text) <= LONGEST_FILE else f"{text[:LONGEST_FILE]}\n[cut]"
    return f"{place}\n\n{cut}"
