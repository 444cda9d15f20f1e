"""WebShop's search: words, stems, BM25."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.envs.arrays import Records, RecordWriter
from agentrl.envs.webshop import index as index_module
from agentrl.envs.webshop.analysis import STOP_WORDS, analyze
from agentrl.envs.webshop.index import (
    K1,
    LIMIT,
    B,
    Index,
    IndexWriter,
    decoded_length,
    length_code,
)
from agentrl.envs.webshop.stemmer import stem
from agentrl.envs.webshop.words import LONGEST_WORD, words

# Worked out by hand from the rules of Porter's paper, and from the two departures.
STEMS = {
    "caresses": "caress",
    "ponies": "poni",
    "cats": "cat",
    "agreed": "agre",
    "feed": "feed",
    "plastered": "plaster",
    "bled": "bled",
    "motoring": "motor",
    "sing": "sing",
    "conflated": "conflat",
    "troubling": "troubl",
    "sized": "size",
    "hopping": "hop",
    "falling": "fall",
    "hissing": "hiss",
    "fizzed": "fizz",
    "failing": "fail",
    "filing": "file",
    "happy": "happi",
    "sky": "sky",
    "toys": "toi",
    "relational": "relat",
    "conditional": "condit",
    "rational": "ration",
    "digitizer": "digit",
    "possibly": "possibl",
    "operator": "oper",
    "hopefulness": "hope",
    "sensibility": "sensibl",
    "analogies": "analog",
    "triplicate": "triplic",
    "electrical": "electr",
    "goodness": "good",
    "adjustable": "adjust",
    "replacement": "replac",
    "adoption": "adopt",
    "million": "million",
    "probate": "probat",
    "rate": "rate",
    "cease": "ceas",
    "controlling": "control",
    "roll": "roll",
    "as": "as",
    "décor": "décor",
}

WORDS = {
    "Men's T-shirt, 100% cotton": ["Men's", "T", "shirt", "100", "cotton"],
    "sq.ft 2.39/pair 1,000 a.1 e.g.": ["sq.ft", "2.39", "pair", "1,000", "a", "1", "e.g"],
    "note：please · l·l 1⁄2 8½": ["note：please", "l·l", "1⁄2", "8"],
    "pack_jet __ _a_ x²": ["pack_jet", "_a_", "x"],
    "锅巴 ひら カタカナ": ["锅", "巴", "ひ", "ら", "カタカナ"],
    "✔️ok★★ 👨‍💻🌸 ™": ["✔️", "ok", "★", "★", "👨‍💻", "🌸", "™"],
    "soft\u00adhyphen cafe\u0301": ["soft\u00adhyphen", "cafe\u0301"],
    'שלום ש"ק': ["שלום", 'ש"ק'],
    "🇩🇪🇫🇷 #️⃣": ["🇩🇪", "🇫🇷", "#️⃣"],
    "": [],
}


@pytest.mark.parametrize(("word", "expected"), STEMS.items())
def test_stems_follow_porters_rules(word: str, expected: str):
    assert stem(word) == expected


@pytest.mark.parametrize(("text", "expected"), WORDS.items())
def test_words_follow_the_unicode_rules(text: str, expected: list[str]):
    assert words(text) == expected


def test_long_words_are_cut():
    assert [len(word) for word in words("a" * (2 * LONGEST_WORD + 7))] == [255, 255, 7]


@given(st.text(max_size=60))
def test_words_are_parts_of_the_text_in_order(text: str):
    at = 0
    for word in words(text):
        at = text.index(word, at) + len(word)


def test_segmentation_takes_linear_time_on_any_repeated_character():
    for char in "_'.1aアש\"̈‍":
        assert isinstance(words(char * 200_000), list)


def test_terms_are_stems_without_stop_words_and_possessives():
    text = "The Women's Coats & men’s shoes, for the PUPPIES' İstanbul"
    assert analyze(text) == ["women", "coat", "men", "shoe", "puppi", "istanbul"]
    assert not analyze(" ".join(STOP_WORDS))


@pytest.mark.parametrize(
    ("length", "kept"), [(0, 0), (23, 23), (39, 39), (40, 40), (41, 40), (63, 60), (100, 96)]
)
def test_document_lengths_keep_four_binary_digits(length: int, kept: int):
    assert decoded_length(length_code(length)) == kept


@given(st.integers(0, 2**31 - 1))
def test_length_codes_fit_a_byte_and_round_down(length: int):
    code = length_code(length)
    assert 0 <= code < 256
    assert length * 0.88 <= decoded_length(code) <= length


documents = st.lists(
    st.lists(
        st.sampled_from(["red", "blue", "wool", "cap", "mug", "tea", "tin", "jar"]), max_size=30
    ).map(" ".join),
    min_size=1,
    max_size=80,
)


def build(folder: Path, texts: list[str]) -> Index:
    folder.mkdir()
    writer = IndexWriter(folder)
    for text in texts:
        writer.add(text)
    return Index(folder, writer.close(), np.arange(len(texts))[::-1].copy())


def plain_scores(texts: list[str], query: str) -> dict[int, float]:
    """BM25 written down term by term, in double precision."""
    terms = [analyze(text) for text in texts]
    mean = sum(map(len, terms)) / len(terms)
    scores: dict[int, float] = {}
    for term, weight in Counter(analyze(query)).items():
        holders = sum(term in document for document in terms)
        inverse = math.log(1 + (len(terms) - holders + 0.5) / (holders + 0.5))
        for number, document in enumerate(terms):
            if term in document:
                count, length = document.count(term), decoded_length(length_code(len(document)))
                norm = K1 * (1 - B + B * length / mean)
                share = weight * inverse * count / (count + norm)
                scores[number] = scores.get(number, 0.0) + share
    return scores


@given(texts=documents, query=st.sampled_from(["red cap", "tea tea tin", "wool", "none", ""]))
def test_search_agrees_with_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], query: str
):
    hits = build(tmp_path_factory.mktemp("index") / "i", texts).search(query)
    expected = plain_scores(texts, query)
    assert len(hits) == min(LIMIT, len(expected))
    for number, score in hits:
        assert score == pytest.approx(expected[number], rel=1e-5)
    keys = [(-score, -number) for number, score in hits]  # ties go by the given rank: reversed
    assert keys == sorted(keys)
    if hits:
        left_out = set(expected) - {number for number, _ in hits}
        assert all(expected[number] <= hits[-1][1] * (1 + 1e-5) for number in left_out)


def test_an_index_built_in_many_chunks_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    texts = [f"red cap {n % 7} tea {n % 3} wool {'tin ' * (n % 5)}" for n in range(300)]
    whole = build(tmp_path / "whole", texts)
    monkeypatch.setattr(index_module, "POSTINGS_PER_CHUNK", 40)
    chunked = build(tmp_path / "chunked", texts)
    for name in ("bounds.npy", "documents.npy", "counts.npy", "lengths.npy", "terms.bin"):
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "chunked" / name
        ).read_bytes()
    assert whole.search("tin 6 red") == chunked.search("tin 6 red")
    assert not list((tmp_path / "chunked").glob("chunk-*"))


@given(st.sets(st.binary(max_size=6), max_size=40), st.binary(max_size=6))
def test_records_come_back_and_are_found(
    tmp_path_factory: pytest.TempPathFactory, stored: set[bytes], wanted: bytes
):
    folder = tmp_path_factory.mktemp("records")
    RecordWriter.write(folder, "r", sorted(stored))
    records = Records(folder, "r")
    assert [records[number] for number in range(len(records))] == sorted(stored)
    found = records.find(wanted)
    assert (found is not None) == (wanted in stored)
    assert found is None or records[found] == wanted
