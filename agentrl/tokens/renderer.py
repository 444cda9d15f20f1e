"""Messages to token ids, over any Hugging Face chat template.

The ids of a conversation are only ever appended to.  What the model sampled stays as it was
sampled; what the environment says is encoded once, as exactly the ids that the chat template puts
between the end of the model's turn and the start of the next one.  Those are found as a difference
of two renderings (after huggingface/trl:trl/trainer/grpo_trainer.py `_get_tool_suffix_ids`), which
also shows whether the template leaves earlier turns alone.  Where it does not, `Renderer.bridge`
refuses and says why; the caller then starts a new sequence from `Renderer.prompt`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2

from agentrl.errors import TemplateError
from agentrl.tokens.bridge import (
    ANSWER,
    THOUGHT,
    Bridge,
    Refusal,
    calls_answered,
    dummy_exchange,
    refusal,
)
from agentrl.tokens.special import Neutraliser
from agentrl.types import Message

__all__ = ["Message", "ModelTurn", "Renderer"]

_REMEMBERED_BRIDGES = 1024
_REMEMBERED_EXCHANGES = 64


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """A sampled turn, as text for parsing and logging; it is never encoded again in place.

    Attributes:
        text: the decoded ids without end-of-turn tokens at the end.
        ended: whether the ids end with an end-of-turn token.
    """

    text: str
    ended: bool


class Renderer:
    """Renders conversations of one tokenizer as token ids.

    Strings inside messages never become special tokens (see `agentrl.tokens.special`).

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.
        template_kwargs: given to the template, for example `{"enable_thinking": False}`.
        stop_ids: more ids that end a turn, for example those of the generation config.

    Attributes:
        end_of_turn_id: the id that the template puts after a model turn.
        stop_ids: every id that ends a turn: the template's, the tokenizer's, and those given.

    Raises:
        TemplateError: the tokenizer has no chat template, or one that does not end a model turn
            with a special token.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        template_kwargs: Mapping[str, Any] | None = None,
        stop_ids: Sequence[int] = (),
    ) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise TemplateError(
                "The tokenizer has no chat template. Use an instruction-tuned model as "
                "`model.path`, or set `tokenizer.chat_template` and save the tokenizer there."
            )
        self.tokenizer = tokenizer
        self.template_kwargs = dict(template_kwargs or {})
        added = tokenizer.added_tokens_decoder
        self._special_ids = frozenset(i for i, token in added.items() if token.special)
        self._neutraliser = Neutraliser(added[i].content for i in self._special_ids)
        # Episodes of a group often see the same observation.
        self._written = lru_cache(_REMEMBERED_BRIDGES)(self._write)
        self._exchange = lru_cache(_REMEMBERED_EXCHANGES)(self._render_exchange)
        self.end_of_turn_id = self._find_end_of_turn()
        self._end_text = added[self.end_of_turn_id].content
        known = [self.end_of_turn_id, tokenizer.eos_token_id, *stop_ids]
        self.stop_ids = tuple(dict.fromkeys(i for i in known if i is not None))

    def neutralise(self, text: str) -> str:
        """Return `text` with a zero-width space inside every special token's string."""
        return self._neutraliser.text(text)

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> list[int]:
        """Return the ids of a conversation up to where the model has to go on.

        Raises:
            TemplateError: the template does not accept the messages.
        """
        plain = self._plain(messages)
        return self._encode(self._render(plain, self._neutraliser.value(tools), prompt=True))

    def parse(self, ids: Sequence[int]) -> ModelTurn:
        """Return the text of a sampled turn and whether the model ended it."""
        end = len(ids)
        while end and ids[end - 1] in self.stop_ids:
            end -= 1
        text: str = self.tokenizer.decode(
            list(ids[:end]), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return ModelTurn(text, ended=end < len(ids))

    def bridge(
        self,
        messages: Sequence[Message],
        *,
        ended: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thought: bool = False,
    ) -> Bridge | Refusal:
        """Return the ids between a sampled turn and the next one.

        Args:
            messages: everything that answers the turn: one user message, or the results of all
                its tool calls.
            ended: whether the sampled ids end with an end-of-turn token.
            tools: the tools given to `prompt`.
            thought: whether the turn holds a `</think>` that the template might strip.

        Returns:
            The ids, or the reason why this template cannot be extended by appending them.

        Raises:
            TemplateError: the template does not accept the messages.
        """
        plain = json.dumps(self._plain(messages)), json.dumps(self._neutraliser.value(tools))
        written = self._written(*plain, thought)
        if isinstance(written, Refusal):
            return written
        return Bridge([] if ended else [self.end_of_turn_id], list(written))

    def continuation(self, text: str) -> list[int]:
        """Return the ids of text that goes on inside a model turn, encoded by itself."""
        return self._encode(self._neutraliser.text(text))

    def _write(
        self, messages_json: str, tools_json: str, thought: bool
    ) -> tuple[int, ...] | Refusal:
        """Return the ids of a bridge, without `closing`."""
        messages, tools = json.loads(messages_json), json.loads(tools_json)
        before = json.dumps(calls_answered(messages)), tools_json, thought
        dummies, base = self._exchange(*before)
        text = self._render([*dummies, *messages], tools, prompt=True)
        if base is not None and not text.startswith(base):
            self._exchange.cache_clear()  # a template may show the date: another day has begun
            base = self._exchange(*before)[1]
        if base is None or not text.startswith(base):
            return refusal(thought and (base is None or THOUGHT not in text))
        # The end-of-turn text leads, so that what follows is encoded as in the whole conversation.
        return tuple(self._encode(self._end_text + text[len(base) :])[1:])

    def _render_exchange(
        self, calls_json: str, tools_json: str, thought: bool
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a dummy exchange, and its rendering up to the last end of turn.

        None where the template does not even show the thinking of the last turn.
        """
        dummies = self._plain(dummy_exchange(json.loads(calls_json), thought))
        text = self._render(dummies, json.loads(tools_json), prompt=False)
        if thought and THOUGHT not in text:
            return dummies, None
        return dummies, text[: text.rindex(self._end_text) + len(self._end_text)]

    def _find_end_of_turn(self) -> int:
        text = self._render(self._plain(dummy_exchange([], thought=False)), None, prompt=False)
        _, found, tail = text.rpartition(ANSWER)
        ids = self._encode(tail) if found else []
        end = next((i for i in ids if i in self._special_ids), None)
        if end is None:
            raise TemplateError(
                f"The chat template puts no special token after a model turn (it ends {tail!r}), "
                "so the end of a turn cannot be told from text. Use a template that closes "
                "assistant turns with a special token, as ChatML does with <|im_end|>."
            )
        return end

    def _plain(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Return messages that hold no special tokens."""
        try:
            return [{**self._neutraliser.value(m), "role": m["role"]} for m in messages]
        except KeyError as error:
            raise TemplateError(_rejection(messages, error)) from error

    def _render(
        self, plain: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, prompt: bool
    ) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                plain,
                tools=tools or None,
                add_generation_prompt=prompt,
                tokenize=False,
                **self.template_kwargs,
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
            raise TemplateError(_rejection(plain, error)) from error
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def _rejection(messages: Sequence[Message], error: Exception) -> str:
    roles = [message.get("role") for message in messages]
    fix = "Use a model whose chat template accepts them"
    if "system" in roles:
        fix += ", or put the system text into the first user message"
    return f"The chat template does not accept messages with roles {roles}: {error}. {fix}."
