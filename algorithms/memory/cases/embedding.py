"""Vectors of texts: the interface, and an embedder that needs no model."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from agentrl.algorithms.checks import in_range
from agentrl.errors import ConfigError


class Embedder(Protocol):
    """Turns texts into vectors whose cosine says how similar they are."""

    @property
    def dimensions(self) -> int:
        """D, length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return [N, D], of any length; equal texts give equal vectors."""
        ...

    def weights(self, keys_ND: Tensor) -> Tensor:
        """Return [D] >= 0, what every dimension counts given all stored vectors; often ones."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HashingEmbedder:
    """TF-IDF over hashed words, pairs of words and pieces of words.

    A feature adds or subtracts 1 + ln(count) at a place; place and sign come from its checksum,
    so vectors are the same on every machine.  Rare places count more (`weights`).

    Attributes:
        dimensions: D, a power of two loses nothing.
        words: longest run of words.
        characters: length of the pieces of a word with its ends; 0 for none.
    """

    dimensions: int = 2048
    words: int = 2
    characters: int = 4

    def __post_init__(self) -> None:
        in_range("dimensions", self.dimensions, 1)
        in_range("words", self.words, 0)
        in_range("characters", self.characters, 0)
        if not self.words and not self.characters:
            raise ConfigError("`words` and `characters` are both 0; one must be at least 1.")

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return [N, D]; a text without words gives zeros."""
        vectors_ND = torch.zeros(len(texts), self.dimensions)
        for row, text in enumerate(texts):
            for feature, count in Counter(self._features(text)).items():
                checksum = zlib.crc32(feature.encode())
                sign = 1 if checksum >> 31 else -1
                place = checksum % (2**31) % self.dimensions
                vectors_ND[row, place] += sign * (1 + math.log(count))
        return vectors_ND

    def weights(self, keys_ND: Tensor) -> Tensor:
        """Return ln((1 + N) / (1 + texts with the place)) + 1."""
        with_place_D = (keys_ND != 0).sum(0)
        return ((1 + len(keys_ND)) / (1 + with_place_D)).log() + 1

    def _features(self, text: str) -> Iterator[str]:
        words = re.findall(r"\w+", text.lower())
        for length in range(1, self.words + 1):
            for start in range(len(words) - length + 1):
                yield "w " + " ".join(words[start : start + length])
        if self.characters:
            for word in words:
                padded = f"<{word}>"
                for start in range(max(1, len(padded) - self.characters + 1)):
                    yield "c " + padded[start : start + self.characters]


def unit(vectors_ND: Tensor) -> Tensor:
    """Return the vectors at length 1; zero stays zero."""
    return torch.nn.functional.normalize(vectors_ND, dim=-1)


def best(scores_N: Tensor, count: int) -> list[int]:
    """Return the places of the `count` highest scores, best first, earlier first where equal."""
    return scores_N.argsort(descending=True, stable=True)[:count].tolist()
