"""The search index: Lucene's BM25 over postings in memory-mapped arrays.

Lucene 9's `BM25Similarity` as Pyserini configures it (k1 = 0.9, b = 0.4), in its own single
precision, so that scores and their order agree to the last bit.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from pathlib import Path

import numpy as np

from agentrl.envs.arrays import Array, Records, RecordWriter, map_array
from agentrl.envs.webshop.analysis import analyze

K1, B = 0.9, 0.4
LIMIT = 50
"""Hits that a search returns at most."""

POSTINGS_PER_CHUNK = 4_000_000
"""Postings held in memory while an index is built; 12 bytes each and as much again for sorting."""

_EXACT = 24


def length_code(length: int) -> int:
    """Return Lucene's one-byte code of a document length."""
    if length < _EXACT:
        return length
    rest = length - _EXACT
    shift = max(0, rest.bit_length() - 4)
    return _EXACT + (rest if not shift else ((rest >> shift) & 7) | ((shift + 1) << 3))


def decoded_length(code: int) -> int:
    """Return the document length that Lucene reads from a code."""
    if code < _EXACT:
        return code
    mantissa, shift = (code - _EXACT) & 7, ((code - _EXACT) >> 3) - 1
    return _EXACT + (mantissa if shift < 0 else (mantissa | 8) << shift)


class IndexWriter:
    """Builds an index in a folder; documents are numbered as they come.

    Postings are sorted chunk by chunk and merged through the files, so memory holds one chunk and
    the vocabulary.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: dict[str, int] = {}
        self._codes = bytearray()
        self._total_length = 0
        self._term, self._document, self._count = array("i"), array("i"), array("i")
        self._chunks = 0

    def add(self, text: str) -> None:
        """Index the next document."""
        terms = analyze(text)
        for term, count in Counter(terms).items():
            self._term.append(self._numbers.setdefault(term, len(self._numbers)))
            self._document.append(len(self._codes))
            self._count.append(count)
        self._codes.append(length_code(len(terms)))
        self._total_length += len(terms)
        if len(self._term) >= POSTINGS_PER_CHUNK:
            self._flush()

    def close(self) -> float:
        """Write the index; returns the mean document length in terms."""
        self._flush()
        terms = sorted(self._numbers, key=str.encode)
        RecordWriter.write(self._folder, "terms", (term.encode() for term in terms))
        rank = np.empty(len(terms), np.int64)
        rank[[self._numbers[term] for term in terms]] = np.arange(len(terms))
        self._numbers.clear()
        self._merge(rank)
        np.save(self._folder / "lengths.npy", np.frombuffer(self._codes, np.uint8))
        return self._total_length / max(1, len(self._codes))

    def _flush(self) -> None:
        term = np.array(self._term, np.int32)
        order = np.argsort(term, kind="stable")
        postings = [term, np.array(self._document, np.int32), np.array(self._count, np.int32)]
        np.save(self._chunk(self._chunks), np.stack(postings)[:, order])
        self._chunks += 1
        del self._term[:], self._document[:], self._count[:]

    def _chunk(self, number: int) -> Path:
        return self._folder / f"chunk-{number}.npy"

    def _merge(self, rank: Array) -> None:
        """Put the postings of all chunks in the order of the sorted terms."""
        sizes = np.zeros(len(rank), np.int64)
        for number in range(self._chunks):
            term = np.load(self._chunk(number))[0]
            sizes += np.bincount(rank[term], minlength=len(rank))
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        np.save(self._folder / "bounds.npy", bounds)
        create = np.lib.format.open_memmap
        documents = create(self._folder / "documents.npy", "w+", np.int32, (int(bounds[-1]),))
        counts = create(self._folder / "counts.npy", "w+", np.uint16, (int(bounds[-1]),))
        free = bounds[:-1].copy()
        for number in range(self._chunks):
            term, document, count = np.load(self._chunk(number))
            places = _places(rank[term], free)
            documents[places] = document
            counts[places] = np.minimum(count, 65535)
            self._chunk(number).unlink()
        documents.flush()
        counts.flush()


def _places(term: Array, free: Array) -> Array:
    """Return where postings grouped by term go, and move the first free places on."""
    starts = np.flatnonzero(np.diff(term, prepend=-1))
    sizes = np.diff(starts, append=len(term))
    within = np.arange(len(term)) - np.repeat(starts, sizes)
    places: Array = free[term] + within
    free[term[starts]] += sizes
    return places


class Index:
    """Searches an index that an `IndexWriter` wrote.

    Args:
        folder: where it lies.
        mean_length: what `IndexWriter.close` returned.
        tie_rank: position of every document in the order that breaks ties.
    """

    def __init__(self, folder: Path, mean_length: float, tie_rank: Array) -> None:
        self._terms = Records(folder, "terms")
        self._bounds = map_array(folder, "bounds")
        self._documents = map_array(folder, "documents")
        self._counts = map_array(folder, "counts")
        self._lengths = map_array(folder, "lengths")
        self._tie_rank = tie_rank
        self._inverse_norms = _inverse_norms(mean_length)

    def search(self, query: str) -> list[tuple[int, float]]:
        """Return `(document, score)` of the best hits, best first, at most `LIMIT`."""
        found = [self._scores(term, weight) for term, weight in Counter(analyze(query)).items()]
        found = [pair for pair in found if len(pair[0])]
        if not found:
            return []
        documents, scores = _sum_by_document(found, len(self._lengths))
        if len(scores) > LIMIT:
            least = np.partition(scores, -LIMIT)[-LIMIT]
            documents, scores = documents[scores >= least], scores[scores >= least]
        order = np.lexsort((self._tie_rank[documents], -scores))[:LIMIT]
        return list(zip(documents[order].tolist(), scores[order].tolist(), strict=True))

    def _scores(self, term: str, weight: int) -> tuple[Array, Array]:
        """Return the documents that hold a term and what it adds to their scores."""
        number = self._terms.find(term.encode("utf-8", "surrogatepass"))
        if number is None:
            return self._documents[:0], np.empty(0, np.float32)
        start, end = self._bounds[number : number + 2].tolist()
        documents, size = self._documents[start:end], end - start
        inverse = math.log(1 + (len(self._lengths) - size + 0.5) / (size + 0.5))
        boost = np.float32(weight) * np.float32(inverse)
        norms = self._inverse_norms[self._lengths[documents]]
        counts = self._counts[start:end].astype(np.float32)
        return documents, boost - boost / (np.float32(1) + counts * norms)


def _inverse_norms(mean_length: float) -> Array:
    """Return 1 / (k1 (1 - b + b length / mean)) for every length code, in single precision."""
    one, k1, b, mean = (np.float32(value) for value in (1, K1, B, max(mean_length, 1e-9)))
    lengths = np.array([decoded_length(code) for code in range(256)], np.float32)
    norms: Array = one / (k1 * ((one - b) + b * lengths / mean))
    return norms


def _sum_by_document(found: list[tuple[Array, Array]], size: int) -> tuple[Array, Array]:
    """Add up scores in double precision, then round to single, as Lucene does."""
    documents = np.concatenate([pair[0] for pair in found])
    scores = np.concatenate([pair[1] for pair in found])
    if len(documents) * 4 < size:
        documents, where = np.unique(documents, return_inverse=True)
        return documents, np.bincount(where, weights=scores).astype(np.float32)
    total = np.bincount(documents, weights=scores, minlength=size)
    hits = np.flatnonzero(total)
    return hits, total[hits].astype(np.float32)
