"""Transcripts are shown turn by turn, with every call and thought."""

from __future__ import annotations

import pytest

from agentrl.evaluation.questions.transcript import readable

CALL = {"id": "c", "function": {"name": "search", "arguments": '{"query": "x"}'}}


def test_a_chat_is_shown_turn_by_turn_with_its_calls_and_thoughts():
    chat = [
        {"role": "user", "content": "two\nlines"},
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [CALL]},
        {"role": "tool", "content": "found"},
    ]
    assert readable(chat) == (
        '[user]\ntwo\nlines\n\n[assistant]\nhm\nsearch {"query": "x"}\n\n[tool]\nfound'
    )


@pytest.mark.parametrize(
    ("transcript", "shown"),
    [
        ("as it is", "as it is"),
        ([{"no": "role"}], '[\n {\n  "no": "role"\n }\n]'),
        ({"a": 1}, '{\n "a": 1\n}'),
        ([{"role": "user", "content": [{"type": "image"}]}], '[user]\n[\n {\n  "type": "image"'),
        ([{"role": "assistant", "tool_calls": ["odd"]}], '[assistant]\n"odd"'),
    ],
)
def test_anything_else_is_shown_too(transcript, shown):
    assert readable(transcript).startswith(shown)
