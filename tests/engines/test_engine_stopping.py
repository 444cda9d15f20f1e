"""Stop strings, against decoding everything after every token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.engines.embedded.stopping import StopStrings


def stop_of(tokenizer, ids, strings):
    """Tokens until the stop, and the string."""
    watch = StopStrings(strings, tokenizer)
    for count in range(1, len(ids) + 1):
        found = watch.find(ids[:count])
        if found is not None:
            return count, found
    return None


def plain_stop(tokenizer, ids, strings):
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:count], skip_special_tokens=False)
        found = [(text.find(string), string) for string in strings if string in text]
        if found:
            return count, min(found)[1]
    return None


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("go to the kitchen </action> and", "</action>"),
        ("héllo wörld 🙂 ok", "🙂"),
        ("héllo wörld 🙂 ok", "d 🙂 o"),
        ("a very long text that runs on and on and on until the END of it", "END"),
        ("abcabcabd", "abcabd"),
        ("Zürich", "z"),
    ],
)
def test_a_stop_is_found_with_the_token_that_completes_it(tiny_tokenizer, text, stop):
    ids = tiny_tokenizer.encode(text)
    expected = plain_stop(tiny_tokenizer, ids, (stop, "nowhere"))
    assert stop_of(tiny_tokenizer, ids, (stop, "nowhere")) == expected
    assert (expected is None) == (stop not in text)


@given(data=st.data())
def test_any_text_split_into_bytes_stops_where_full_decoding_would(tiny_tokenizer, data):
    text = data.draw(st.text(alphabet="ab é🙂你", min_size=1, max_size=60))
    begin = data.draw(st.integers(0, len(text) - 1))
    stop = text[begin : begin + data.draw(st.integers(1, 6))]
    whole = tiny_tokenizer.encode(text)
    pieces = [token for letter in text for token in tiny_tokenizer.encode(letter)]
    for ids in (whole, pieces):
        expected = plain_stop(tiny_tokenizer, ids, (stop,))
        assert expected is not None
        assert stop_of(tiny_tokenizer, ids, (stop,)) == expected


def test_of_two_stops_the_one_that_begins_first_is_reported(tiny_tokenizer):
    ids = tiny_tokenizer.encode("xx kitchen")
    assert stop_of(tiny_tokenizer, ids, ("n", "chen"))[1] in {"n", "chen"}
    watch = StopStrings(("tchen", "kitchen"), tiny_tokenizer)
    assert watch.find(ids) == "kitchen"


def test_bytes_that_never_form_a_character_do_not_slow_it_down(tiny_tokenizer):
    decoded = []

    class Counting:
        def decode(self, ids, **settings):
            decoded.append(len(ids))
            return tiny_tokenizer.decode(ids, **settings)

    byte = tiny_tokenizer.encode("🙂")[0]
    watch = StopStrings(("end",), Counting())
    for count in range(1, 300):
        watch.find([byte] * count)
    assert max(decoded) <= 64
