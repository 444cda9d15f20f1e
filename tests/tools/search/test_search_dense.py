"""Dense retrieval: exact, with the encoder's marks, and the same through faiss."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pytest

from agentrl.errors import ConfigError, DataError
from agentrl.tools.search import dense
from agentrl.tools.search.dense import DenseIndex
from agentrl.tools.search.passages import Passage

PASSAGES = [Passage(id=str(n), contents=f'"T{n}"\ntext {n}') for n in range(50)]


class Encoder:
    """Random directions by text; notes what it is given."""

    def __init__(self, dimensions: int = 8) -> None:
        self.dimensions, self.texts = dimensions, list[str]()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        rows = [np.random.default_rng(zlib.crc32(text.encode())) for text in texts]
        return np.stack([row.normal(size=self.dimensions) for row in rows])


@pytest.fixture
def encode() -> Encoder:
    return Encoder()


def build(tmp_path, encode, **options) -> DenseIndex:
    return DenseIndex.build(PASSAGES, tmp_path / "dense", encode, batch=7, **options)


@pytest.mark.parametrize("block", [3, 65_536])
def test_hits_are_the_largest_inner_products(tmp_path, encode, monkeypatch, block):
    monkeypatch.setattr(dense, "BLOCK", block)
    index = build(tmp_path, encode)
    vectors = encode([passage.contents for passage in PASSAGES])
    products = vectors @ encode(["question"])[0]
    hits = index.search("question", 5)
    assert [int(hit.extra["id"]) for hit in hits] == np.argsort(-products)[:5].tolist()
    assert [hit.score for hit in hits] == pytest.approx(np.sort(products)[::-1][:5], rel=1e-5)
    assert len(index.search("question", 100)) == len(index) == 50


def test_ties_come_in_the_order_of_the_corpus(tmp_path):
    index = build(tmp_path, lambda texts: np.ones((len(texts), 4)))
    assert [hit.extra["id"] for hit in index.search("any", 4)] == ["0", "1", "2", "3"]


def test_texts_carry_the_marks_of_the_encoder_and_passages_are_encoded_once(tmp_path, encode):
    marks = {"passage_prefix": "passage: ", "query_prefix": "query: "}
    build(tmp_path, encode, **marks)
    assert encode.texts[0] == 'passage: "T0"\ntext 0' and len(encode.texts) == 50
    build(tmp_path, encode, **marks).search("x", 1)
    assert encode.texts[50:] == ["query: x"]


def test_an_encoder_that_does_not_fit_is_refused(tmp_path, encode):
    build(tmp_path, encode)
    with pytest.raises(ConfigError, match="gives 4 numbers for a query"):
        DenseIndex(tmp_path / "dense", Encoder(4)).search("x", 1)
    with pytest.raises(ConfigError, match="one vector per text"):
        DenseIndex.build(PASSAGES, tmp_path / "other", lambda texts: np.ones(4))
    with pytest.raises(DataError, match="holds no vectors"):
        DenseIndex(tmp_path / "none", encode)
    with pytest.raises(DataError, match="no passage"):
        DenseIndex.build([], tmp_path / "empty", encode)


def test_faiss_finds_the_same(tmp_path, encode):
    faiss = pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")
    exact = build(tmp_path, encode)
    flat = faiss.IndexFlatIP(8)
    flat.add(np.array(exact.vectors))
    index = DenseIndex(exact.folder, encode, vectors=flat)
    for query in ("a", "b", "c"):
        assert [hit.extra["id"] for hit in index.search(query, 6)] == [
            hit.extra["id"] for hit in exact.search(query, 6)
        ]
    assert len(index.search("a", 100)) == 50
