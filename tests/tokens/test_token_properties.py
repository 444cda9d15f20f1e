"""Random model ids and random Unicode observations, with two tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chat_templates as chat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl.tokens import Bridge, ContextMode, Conversation, Renderer

FIXTURES_ARE_CONSTANT = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OBSERVATIONS = st.text(max_size=40) | st.sampled_from(
    ["", "\n", "\n\nx", " x ", "<|im_end|>", "a<|im_start|>b", "<tool_response>", "你好🙂", "\r\n"]
)
TURNS = st.lists(
    st.tuples(st.lists(st.integers(3, 400), max_size=12), st.booleans(), OBSERVATIONS),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module", params=sorted(chat.APPEND_ONLY))
def tokenizer(request: pytest.FixtureRequest, tokenizer_file: Path) -> Any:
    return chat.chatml_tokenizer(tokenizer_file, chat.APPEND_ONLY[request.param])


def play(conversation: Conversation, first: str, turns: list[Any]) -> tuple[list[int], list[Any]]:
    """Return the ids of a `full` conversation and its spans as (ids, writer)."""
    end = conversation.renderer.end_of_turn_id
    spans = [(conversation.start("Play.", first), "environment")]
    for ids, ended, observation in turns:
        sampled = [*ids, end] if ended else ids
        extension = conversation.extend(sampled, observation)
        assert not extension.restart
        spans += [
            (sampled, "model"),
            (extension.closing, "template"),
            (extension.ids, "environment"),
        ]
    return [token for ids, _ in spans for token in ids], spans


@given(first=OBSERVATIONS, turns=TURNS)
@FIXTURES_ARE_CONSTANT
def test_a_bridge_is_what_the_template_puts_after_the_model_turn(tokenizer, first, turns):
    """Rendering the conversation as a whole ends with the same ids."""
    render = Renderer(tokenizer)
    conversation = Conversation(render, ContextMode())
    conversation.start("Play.", first)
    messages = [{"role": "system", "content": "Play."}, {"role": "user", "content": first}]
    for ids, ended, observation in turns:
        answer = render.parse(ids).text
        extension = conversation.extend(
            [*ids, render.end_of_turn_id] if ended else ids, observation
        )
        messages += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": observation},
        ]
        whole = render.prompt(messages)
        assert whole[-len(extension.ids) - 1 :] == [render.end_of_turn_id, *extension.ids]


@given(first=OBSERVATIONS, turns=TURNS)
@FIXTURES_ARE_CONSTANT
def test_model_ids_stay_verbatim_and_every_turn_is_closed_once(tokenizer, first, turns):
    render = Renderer(tokenizer)
    ids, spans = play(Conversation(render, ContextMode()), first, turns)
    assert [s for s, writer in spans if writer == "model"] == [
        [*t, render.end_of_turn_id] if ended else t for t, ended, _ in turns
    ]
    for (_, ended, _), (closing, _) in zip(turns, spans[2::3], strict=True):
        assert closing == ([] if ended else [render.end_of_turn_id])
    # Every message opens one turn and closes it: text of others adds no special token.
    system = 1 + len(turns) * 2 + 1
    assert ids.count(render.end_of_turn_id) == system
    assert ids.count(0) == system + 1


@given(turn=st.lists(st.integers(3, 400), min_size=1, max_size=20), observation=OBSERVATIONS)
@FIXTURES_ARE_CONSTANT
def test_the_text_of_a_model_turn_is_never_encoded_again(tokenizer, turn, observation):
    render = Renderer(tokenizer)
    conversation = Conversation(render, ContextMode())
    conversation.start("Play.", "Go.")
    encoded: list[str] = []
    original = render._encode
    render._encode = lambda text: (encoded.append(text), original(text))[1]  # type: ignore
    marked = [*turn, *tokenizer.encode("MODELTEXT", add_special_tokens=False)]
    extension = conversation.extend(marked, observation)
    assert not extension.restart
    assert len(encoded) == 1
    assert "MODELTEXT" not in encoded[0]


@given(observation=OBSERVATIONS)
@FIXTURES_ARE_CONSTANT
def test_bridges_decode_to_the_observation(tokenizer, observation):
    render = Renderer(tokenizer)
    bridge = render.bridge([{"role": "user", "content": observation}], ended=True)
    assert isinstance(bridge, Bridge)
    trims = "trim" in tokenizer.chat_template
    shown = render.neutralise(observation)
    expected = f"<|im_start|>user\n{shown.strip() if trims else shown}<|im_end|>"
    assert expected in tokenizer.decode(bridge.ids)


@given(observation=OBSERVATIONS, before=st.text(max_size=10))
@FIXTURES_ARE_CONSTANT
def test_bridges_do_not_depend_on_what_came_before(tokenizer, observation, before):
    fresh, used = Renderer(tokenizer), Renderer(tokenizer)
    used.bridge([{"role": "user", "content": before}], ended=False)
    message = [{"role": "user", "content": observation}]
    assert fresh.bridge(message, ended=True) == used.bridge(message, ended=True)
