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
from enum import StrEnum
from typing import Any

import jinja2

from agentrl.errors import TemplateError
from agentrl.tokens.special import Neutraliser

Message = Mapping[str, Any]
"""A chat message: `role`, `content` and whatever else the template knows."""

_ANSWER = "Answer7421"
_THOUGHT = "Thought7421"


class RefusalReason(StrEnum):
    """Why a conversation cannot be extended by appending."""

    REWRITES_HISTORY = "rewrites_history"
    """The new messages change how the template shows an earlier turn."""
    STRIPS_THINKING = "strips_thinking"
    """The template removes the thinking of a turn once another one follows."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Says that a bridge would not give what the template gives.

    Attributes:
        reason: for programs.
        detail: for people.
    """

    reason: RefusalReason
    detail: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """Ids from the end of a sampled turn to the start of the next.

    Attributes:
        closing: the end-of-turn id the model did not reach, written by the template; or empty.
        ids: the new messages and the header of the next model turn, written by the environment.
    """

    closing: list[int]
    ids: list[int]


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
        self._bases: dict[tuple[str, ...], str | Refusal] = {}
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
        return self._encode(self._render(messages, tools, prompt=True))

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
        dummies = _dummies(messages, thought)
        base = self._base(dummies, tools, thought)
        if isinstance(base, Refusal):
            return base
        text = self._render([*dummies, *messages], tools, prompt=True)
        if not text.startswith(base):
            return _refusal(thought and _THOUGHT not in text)
        # The end-of-turn text leads, so that what follows is encoded as in the whole conversation.
        ids = self._encode(self._end_text + text[len(base) :])
        return Bridge([] if ended else [self.end_of_turn_id], ids[1:])

    def _base(
        self, dummies: list[Message], tools: Sequence[Mapping[str, Any]] | None, thought: bool
    ) -> str | Refusal:
        """Return the rendering of a dummy exchange, cut after its last end of turn."""
        calls = [call["function"]["name"] for call in dummies[-1].get("tool_calls", ())]
        key = (str(thought), json.dumps(tools) if tools else "", *calls)
        if key not in self._bases:
            text = self._render(dummies, tools, prompt=False)
            if thought and _THOUGHT not in text:
                self._bases[key] = _refusal(thinking=True)
            else:
                self._bases[key] = text[: text.rindex(self._end_text) + len(self._end_text)]
        return self._bases[key]

    def _find_end_of_turn(self) -> int:
        text = self._render(_dummies([], thought=False), None, prompt=False)
        _, found, tail = text.rpartition(_ANSWER)
        ids = self._encode(tail) if found else []
        end = next((i for i in ids if i in self._special_ids), None)
        if end is None:
            raise TemplateError(
                f"The chat template puts no special token after a model turn (it ends {tail!r}), "
                "so the end of a turn cannot be told from text. Use a template that closes "
                "assistant turns with a special token, as ChatML does with <|im_end|>."
            )
        return end

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        prompt: bool,
    ) -> str:
        try:
            plain = [{**self._neutraliser.value(m), "role": m["role"]} for m in messages]
            text: str = self.tokenizer.apply_chat_template(
                plain,
                tools=self._neutraliser.value(tools) if tools else None,
                add_generation_prompt=prompt,
                tokenize=False,
                **self.template_kwargs,
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
            raise TemplateError(_rejection(messages, error)) from error
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def _dummies(messages: Sequence[Message], thought: bool) -> list[Message]:
    """Return a short exchange whose model turn calls the tools that `messages` answer."""
    content = f"<think>\n{_THOUGHT}\n</think>\n\n{_ANSWER}" if thought else _ANSWER
    turn: dict[str, Any] = {"role": "assistant", "content": content}
    results = [message for message in messages if message.get("role") == "tool"]
    if results:
        turn["tool_calls"] = [
            {
                "type": "function",
                "id": result.get("tool_call_id", f"call{position:05d}"),
                "function": {"name": result.get("name", "tool"), "arguments": {}},
            }
            for position, result in enumerate(results)
        ]
    return [{"role": "user", "content": "Question"}, turn]


def _refusal(thinking: bool) -> Refusal:
    if thinking:
        detail = "The chat template removes the thinking of earlier turns."
        return Refusal(RefusalReason.STRIPS_THINKING, detail)
    detail = "The chat template shows earlier turns differently once these messages follow."
    return Refusal(RefusalReason.REWRITES_HISTORY, detail)


def _rejection(messages: Sequence[Message], error: Exception) -> str:
    roles = [message.get("role") for message in messages]
    fix = "Use a model whose chat template accepts them"
    if "system" in roles:
        fix += ", or put the system text into the first user message"
    return f"The chat template does not accept messages with roles {roles}: {error}. {fix}."
