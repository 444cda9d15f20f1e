"""Results inside a model's own turn: nothing is encoded again, and no turn is closed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl.tokens import ContextMode, Conversation, Renderer
from agentrl.types import Continued

TURNS = st.lists(st.tuples(st.lists(st.integers(3, 300), max_size=12), st.text(max_size=30)))


def encoded(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


@given(turns=TURNS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_appended_is_the_result_encoded_by_itself(tiny_tokenizer, turns):
    render = Renderer(tiny_tokenizer)
    conversation = Conversation(render, ContextMode())
    conversation.start(None, "Q")
    for ids, text in turns:
        sampled = [token for token in ids if token not in render.stop_ids]
        extension = conversation.extend(sampled, Continued(text))
        assert (extension.restart, extension.closing) == (False, [])
        assert extension.ids == encoded(tiny_tokenizer, render.neutralise(text))


def test_model_text_is_never_encoded_again(tiny_tokenizer, monkeypatch):
    conversation = Conversation(Renderer(tiny_tokenizer), ContextMode())
    conversation.start(None, "Q")
    sampled = encoded(tiny_tokenizer, "<search>x</search>")
    seen: list[str] = []
    encode = type(tiny_tokenizer).encode

    def watched(self: Any, text: str, **settings: Any) -> Any:
        seen.append(text)
        return encode(self, text, **settings)

    monkeypatch.setattr(type(tiny_tokenizer), "encode", watched)
    conversation.extend(sampled, Continued("\n\n<information>y</information>\n\n"))
    assert seen == ["\n\n<information>y</information>\n\n"]


def test_a_special_token_in_a_result_stays_text(tiny_tokenizer):
    render = Renderer(tiny_tokenizer)
    conversation = Conversation(render, ContextMode())
    conversation.start(None, "Q")
    name = tiny_tokenizer.convert_ids_to_tokens(render.end_of_turn_id)
    extension = conversation.extend([], Continued(f"a{name}b"))
    assert render.end_of_turn_id not in extension.ids


def test_a_turn_that_the_model_closed_is_followed_by_a_user_message(tiny_tokenizer):
    render = Renderer(tiny_tokenizer)
    said = [*encoded(tiny_tokenizer, "hm"), render.end_of_turn_id]
    ours, theirs = (Conversation(render, ContextMode()) for _ in range(2))
    for conversation in (ours, theirs):
        conversation.start(None, "Q")
    continued = ours.extend(said, Continued("\n\nnote\n\n"))
    assert continued == theirs.extend(said, "note")
    assert not continued.restart and continued.closing == []


def test_in_a_window_results_are_user_messages(tiny_tokenizer):
    render = Renderer(tiny_tokenizer)
    said = encoded(tiny_tokenizer, "hm")
    ours, theirs = (Conversation(render, ContextMode(1)) for _ in range(2))
    for conversation in (ours, theirs):
        conversation.start(None, "Q")
    assert ours.extend(said, Continued(" note ")) == theirs.extend(said, "note")


def test_a_sequence_that_starts_anew_shows_results_inside_the_turn(tiny_tokenizer):
    """A later message that the template refuses to append finds the whole turn as text."""
    render = Renderer(tiny_tokenizer)
    conversation = Conversation(render, ContextMode())
    conversation.start(None, "Q")
    conversation.extend(encoded(tiny_tokenizer, "<search>x</search>"), Continued("<r>y</r>"))
    branch = conversation.fork()
    for one in (conversation, branch):
        one.mode = ContextMode(5)
        shown = one.extend(encoded(tiny_tokenizer, "so z"), "next")
        assert shown.restart
        text = tiny_tokenizer.decode(shown.ids)
        assert "<search>x</search><r>y</r>so z" in text
        assert text.index("Q") < text.index("<search>") < text.index("next")


@pytest.mark.parametrize("form", ["a", [{"role": "user", "content": "a"}], Continued(" a ")])
def test_a_first_message_may_have_any_form(tiny_tokenizer, form):
    render = Renderer(tiny_tokenizer)
    found = Conversation(render, ContextMode()).start(None, form)
    assert found == Conversation(render, ContextMode()).start(None, "a")
