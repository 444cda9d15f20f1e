"""Leaves of trajectory trees, laid out as batches in any number of rows."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch

from agentrl.algorithms import Algorithm, Batch, Stat, estimate_advantages


@dataclass(frozen=True)
class Leaf:
    """An episode: its path of spans, and how it is laid out.

    Attributes:
        group: its task.
        path: (span, number of tokens) from the root down.
        value: its return.
        given: how many spans of the path were given to it, the first ones.
        rows: into how many rows the others are cut.
        dead: all of its tokens are masked.
    """

    group: int
    path: tuple[tuple[int, int], ...]
    value: float
    given: int = 0
    rows: int = 1
    dead: bool = False

    @property
    def trained(self) -> tuple[tuple[int, int], ...]:
        """The spans it has tokens of."""
        return self.path[self.given :]

    @property
    def spans(self) -> set[int]:
        """All spans it passes through."""
        return {span for span, _ in self.path}

    def cut(self) -> list[tuple[tuple[int, int], ...]]:
        """The trained spans of each row."""
        count = len(self.trained)
        ends = [round(part * count / self.rows) for part in range(self.rows + 1)]
        return [self.trained[low:high] for low, high in pairwise(ends)]


@dataclass
class Forest:
    """Grows random trees: at each level a path goes on alone or parts into several."""

    seed: int
    next_span: int = 0
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def leaves(self, groups: int = 3) -> list[Leaf]:
        found = []
        for group in range(groups):
            for _ in range(self.draw.randint(1, 3)):
                found += self._grow(3 * group + 1, (), self.draw.randint(0, 4))
        self.draw.shuffle(found)
        return found

    def _grow(self, group: int, path: tuple[tuple[int, int], ...], depth: int) -> list[Leaf]:
        path = (*path, (7 * self.next_span, self.draw.randint(1, 3)))
        self.next_span += 1
        ends = [Leaf(group, path, self.draw.choice((0.0, 0.5, 1.0, 2.25)))]
        if depth == 0:
            return ends
        branches = [
            self._grow(group, path, depth - 1) for _ in range(self.draw.choice((1, 1, 2, 3)))
        ]
        below = [leaf for branch in branches for leaf in branch]
        return ends + below if self.draw.random() < 0.15 else below

    def awkward(self, groups: int = 3) -> list[Leaf]:
        """Leaves of which some have several rows, were given their beginning, or are masked."""
        found = []
        for leaf in self.leaves(groups):
            given = self.draw.choice((0, 0, len(leaf.path) // 2))
            rows = self.draw.randint(1, len(leaf.path) - given)
            dead = self.draw.random() < 0.2
            found.append(replace(leaf, given=given, rows=rows, dead=dead))
        return found


def laid(leaves: list[Leaf], spread: float = 0.0) -> Batch:
    """Return the batch; episodes are numbered in the order of the leaves.

    Log-probs are equal wherever tokens are the same; current and old ones differ by `spread`.
    """
    rows = [(episode, leaf, part) for episode, leaf in enumerate(leaves) for part in leaf.cut()]
    tokens = [[(span, at) for span, size in part for at in range(size)] for *_, part in rows]
    width = max(map(len, tokens), default=0)
    given = [[span for span, _ in leaf.path[: leaf.given]] for _, leaf, _ in rows]
    most = max(map(len, given), default=0)
    names = sorted({token for row in tokens for token in row})
    draws = torch.Generator().manual_seed(len(names))
    noise = torch.randn(2, len(names) + 1, generator=draws, dtype=torch.float64)
    place = {name: number for number, name in enumerate(names)}
    index = torch.tensor([[place[t] for t in row] + [-1] * (width - len(row)) for row in tokens])
    old = -noise[0].abs()[index] - 0.1
    alive = [
        [float(not leaf.dead)] * len(row) for (_, leaf, _), row in zip(rows, tokens, strict=True)
    ]
    return Batch(
        mask_BT=torch.tensor([row + [0.0] * (width - len(row)) for row in alive]).double(),
        groups_B=torch.tensor([leaf.group for _, leaf, _ in rows]),
        episodes_B=torch.tensor([episode for episode, *_ in rows]),
        returns_B=torch.tensor([leaf.value for _, leaf, _ in rows], dtype=torch.float64),
        turns_BT=torch.zeros(len(rows), width, dtype=torch.long),
        spans_BT=torch.tensor(
            [[span for span, _ in row] + [-1] * (width - len(row)) for row in tokens]
        ),
        given_BN=torch.tensor([row + [-1] * (most - len(row)) for row in given]).long(),
        stats={Stat.OLD_LOGPROBS: old, Stat.LOGPROBS: old + spread * noise[1][index]},
    )


def credited(leaves: list[Leaf], advantage) -> Batch:
    """Return the batch with advantages."""
    return estimate_advantages(Algorithm(name="test", advantage=advantage), laid(leaves))


def by_place(batch: Batch, values_BT: torch.Tensor) -> dict[tuple[int, int], list[float]]:
    """Return what stands at the valid tokens of each (episode, span)."""
    found: dict[tuple[int, int], list[float]] = {}
    for row, column in batch.valid_BT.nonzero().tolist():
        key = int(batch.episodes_B[row]), int(batch.spans_BT[row, column])
        found.setdefault(key, []).append(float(values_BT[row, column]))
    return found
