from __future__ import annotations

from typing import Any

import chat_templates as chat
import pytest

from agentrl.errors import ConfigError
from agentrl.tokens import ContextMode, Conversation, RefusalReason, Renderer


@pytest.mark.parametrize(
    ("text", "turns"), [("full", None), (" full ", None), ("window(4)", 4), ("window( 0 )", 0)]
)
def test_modes_are_read_from_the_configuration(text, turns):
    mode = ContextMode.parse(text)
    assert mode.turns == turns
    assert ContextMode.parse(str(mode)) == mode


@pytest.mark.parametrize("text", ["", "fulll", "window", "window()", "window(-1)", "window(2.5)"])
def test_an_unknown_mode_is_refused_with_the_accepted_ones(text):
    with pytest.raises(ConfigError, match=r"`rollout\.context`.*`full` or `window\(k\)`"):
        ContextMode.parse(text)


def play(tokenizer: Any, mode: str, turns: int = 3) -> list[str]:
    """Return the text of each sequence of a conversation of several turns."""
    conversation = Conversation(Renderer(tokenizer), ContextMode.parse(mode))
    sequences = [conversation.start("S", "o0")]
    for turn in range(turns):
        sampled = [*tokenizer.encode(f"a{turn}", add_special_tokens=False), 1]
        extension = conversation.extend(sampled, f"o{turn + 1}")
        if extension.restart:
            sequences.append(extension.ids)
        else:
            sequences[-1] = [*sequences[-1], *sampled, *extension.closing, *extension.ids]
    texts = [tokenizer.decode(ids) for ids in sequences]
    return [
        text.replace("<|im_start|>", "").replace("<|im_end|>", "").replace("\n", " ").strip()
        for text in texts
    ]


def test_full_context_is_one_growing_sequence(tokenizer):
    assert play(tokenizer, "full") == [
        "system S user o0 assistant a0 user o1 assistant a1 user o2 assistant a2 user o3 assistant"
    ]


def test_a_window_shows_the_system_text_and_the_last_turns(tokenizer):
    assert play(tokenizer, "window(1)") == [
        "system S user o0 assistant",
        "system S user o0 assistant a0 user o1 assistant",
        "system S user o1 assistant a1 user o2 assistant",
        "system S user o2 assistant a2 user o3 assistant",
    ]
    assert play(tokenizer, "window(0)")[-1] == "system S user o3 assistant"
    assert play(tokenizer, "window(9)")[-1] == play(tokenizer, "full")[0]


def test_a_refused_bridge_starts_a_new_sequence_and_says_why(tokenizer):
    tokenizer.chat_template = chat.EMPTY_THINK_LAST
    conversation = Conversation(Renderer(tokenizer), ContextMode())
    conversation.start(None, "o0")
    extension = conversation.extend([*tokenizer.encode("a0", add_special_tokens=False), 1], "o1")
    assert extension.restart
    assert extension.refusal is not None
    assert extension.refusal.reason is RefusalReason.REWRITES_HISTORY
    assert extension.ids == conversation.renderer.prompt(
        [
            {"role": "user", "content": "o0"},
            {"role": "assistant", "content": "a0"},
            {"role": "user", "content": "o1"},
        ]
    )


def test_only_a_turn_that_thought_restarts_where_thinking_is_stripped(tokenizer):
    tokenizer.chat_template = chat.STRIPS_THINKING
    conversation = Conversation(Renderer(tokenizer), ContextMode())
    conversation.start("S", "o0")
    plain = conversation.extend([*tokenizer.encode("a0", add_special_tokens=False), 1], "o1")
    thinking = tokenizer.encode("<think>\nhm\n</think>\n\na1", add_special_tokens=False)
    thought = conversation.extend([*thinking, 1], "o2")
    assert not plain.restart
    assert thought.restart
    assert "hm" not in tokenizer.decode(thought.ids)


def test_an_empty_system_text_adds_no_message(tokenizer):
    conversation = Conversation(Renderer(tokenizer), ContextMode())
    assert conversation.start("", "o") == conversation.start(None, "o")


def test_a_turn_cut_at_a_stop_string_can_be_declared_open(tokenizer):
    conversation = Conversation(Renderer(tokenizer), ContextMode())
    conversation.start(None, "o")
    ids = tokenizer.encode("a", add_special_tokens=False)
    assert conversation.extend(ids, "x", ended=False).closing == [1]
    assert conversation.extend(ids, "x", ended=True).closing == []


def test_tool_results_are_messages(tokenizer):
    conversation = Conversation(Renderer(tokenizer), ContextMode())
    conversation.start(None, [{"role": "user", "content": "o"}])
    result = {"role": "tool", "name": "search", "content": "A"}
    extension = conversation.extend([1], [result, result])
    assert tokenizer.decode(extension.ids).count("<tool_response>\nA\n") == 2


def test_a_fork_goes_on_by_itself(tokenizer):
    one = Conversation(Renderer(tokenizer), ContextMode.parse("window(5)"))
    one.start("S", "o0")
    one.extend([1], "o1")
    other = one.fork()
    assert one.extend([1], "left").ids != other.extend([1], "right").ids
    assert one.extend([1], "x").ids != other.extend([1], "x").ids
    again = one.fork()
    assert one.extend([1], "same").ids == again.extend([1], "same").ids
