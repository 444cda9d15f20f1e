"""Dense retrieval: the passages whose vectors have the largest inner product with the query's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agentrl.envs.arrays import Array, RecordWriter, map_array
from agentrl.envs.building import build_once
from agentrl.errors import ConfigError, DataError
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.passages import NAME, Passage, Passages
from agentrl.tools.search.ranking import best

Encode = Callable[[Sequence[str]], Array]
"""Returns one vector per text, `[texts, dimensions]`; of length 1 where cosines are wanted."""

BLOCK = 65_536
"""Passages that are compared at once, so that mapped vectors are read piece by piece."""


class VectorIndex(Protocol):
    """A faiss index over the vectors, in their order; `IndexFlatIP`, HNSW, IVF, on a GPU or not."""

    def search(self, vectors: Array, k: int, /) -> tuple[Array, Array]:
        """Return scores and places of the k nearest, `[queries, k]` each; -1 means none."""


class DenseIndex:
    """Searches a folder of vectors and passages, exactly, unless an index of faiss is given.

    Encoders want marks before their texts: E5, which Search-R1 uses, `query: ` and `passage: `.

    Args:
        folder: made by `DenseIndex.build`.
        encode: the encoder of the queries.
        query_prefix: put before each.
        vectors: an index of faiss in place of the exact search.

    Raises:
        DataError: the folder holds no vectors.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        encode: Encode,
        *,
        query_prefix: str = "",
        vectors: VectorIndex | None = None,
    ) -> None:
        self.folder = Path(folder)
        try:
            self.vectors = map_array(self.folder, "vectors")
            self.passages = Passages(self.folder)
        except OSError as error:
            raise DataError(f"{str(folder)!r} holds no vectors to search: {error}.") from error
        self._encode, self._prefix, self._index = encode, query_prefix, vectors

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        folder: str | os.PathLike[str],
        encode: Encode,
        *,
        passage_prefix: str = "",
        query_prefix: str = "",
        batch: int = 512,
    ) -> DenseIndex:
        """Encode passages into a folder; one that exists is kept as it is."""

        def write(scratch: Path) -> None:
            blocks = []
            with RecordWriter(scratch, NAME) as records:
                for some in _batches(passages, batch):
                    for passage in some:
                        records.append(passage.dump())
                    texts = [passage_prefix + passage.contents for passage in some]
                    blocks.append(_encoded(encode, texts))
            if not blocks:
                raise DataError("The corpus has no passage; there is nothing to search.")
            np.save(scratch / "vectors.npy", np.concatenate(blocks))

        build_once(Path(folder), write)
        return cls(folder, encode, query_prefix=query_prefix)

    def __len__(self) -> int:
        return len(self.passages)

    def search(self, query: str, k: int = 3) -> list[SearchHit]:
        """Return the k nearest passages, the nearest first; ties by corpus order."""
        vector = _encoded(self._encode, [self._prefix + query])
        if vector.shape[1] != self.vectors.shape[1]:
            raise ConfigError(
                f"The encoder gives {vector.shape[1]} numbers for a query, but the passages in "
                f"{str(self.folder)!r} have {self.vectors.shape[1]}; use the encoder they were "
                "made with."
            )
        return [self.passages[place].hit(score) for place, score in self._nearest(vector, k)]

    def _nearest(self, vector: Array, k: int) -> list[tuple[int, float]]:
        if self._index is not None:
            scores, places = self._index.search(vector, k)
            pairs: Any = zip(places[0].tolist(), scores[0].tolist(), strict=True)
            return [(place, score) for place, score in pairs if place >= 0]
        starts = range(0, len(self.vectors), BLOCK)
        products = [self.vectors[start : start + BLOCK] @ vector[0] for start in starts]
        exact = np.concatenate(products)
        return [(place, float(exact[place])) for place in best(exact, k)]


def _encoded(encode: Encode, texts: Sequence[str]) -> Array:
    vectors = np.ascontiguousarray(encode(texts), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ConfigError(
            f"`encode` gave an array of shape {vectors.shape} for {len(texts)} texts; it returns "
            "one vector per text."
        )
    return vectors


def _batches(passages: Iterable[Passage], size: int) -> Iterator[list[Passage]]:
    rest = iter(passages)
    while some := list(islice(rest, size)):
        yield some
