"""How many tokens two answers share: precision, recall and F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overlap:
    """The shared share of tokens.

    Attributes:
        precision: of the prediction's tokens.
        recall: of the gold answer's tokens.
    """

    precision: float = 0.0
    recall: float = 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean; 0 where nothing is shared."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def overlap(predicted: Sequence[str], gold: Sequence[str]) -> Overlap:
    """Compare two lists of tokens as multisets; nothing shared, also of empty lists, gives 0."""
    shared = sum((Counter(predicted) & Counter(gold)).values())
    return Overlap(shared / len(predicted), shared / len(gold)) if shared else Overlap()
