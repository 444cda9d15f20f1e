"""Played episodes as batches of both layouts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import torch

from agentrl.algorithms import Algorithm, Batch, Stat, estimate_advantages


@dataclass
class Turn:
    """One step of a played episode."""

    anchor: int = 0
    reward: float = 0.0
    entropies: tuple[float, ...] = (1.0,)
    invalid: bool = False


Play = tuple[int, list[Turn]]
"""An episode: its group and its turns."""


def played(plays: list[Play], layout: str) -> Batch:
    """Lay episodes out as one row per turn (`window`) or one per episode (`full`)."""
    rows = []
    for episode, (group, turns) in enumerate(plays):
        numbered = list(enumerate(turns))
        parts = [numbered] if layout == "full" else [[one] for one in numbered]
        rows += [(group, episode, part) for part in parts]
    width = max(sum(len(turn.entropies) for _, turn in part) for *_, part in rows)

    def padded(values, filler=0.0):
        filled = [row + [filler] * (width - len(row)) for row in values]
        return torch.tensor(filled, dtype=torch.float64)

    def per_token(read):
        parts = [part for *_, part in rows]
        return [[read(k, turn) for k, turn in part for _ in turn.entropies] for part in parts]

    def last(turn):
        return [0.0] * (len(turn.entropies) - 1) + [turn.reward]

    returns = [sum(turn.reward for turn in turns) for _, turns in plays]
    entropies = [[h for _, turn in part for h in turn.entropies] for *_, part in rows]
    return Batch(
        mask_BT=padded(per_token(lambda k, turn: 1.0)),
        groups_B=torch.tensor([group for group, *_ in rows]),
        episodes_B=torch.tensor([episode for _, episode, _ in rows]),
        returns_B=torch.tensor([returns[e] for _, e, _ in rows], dtype=torch.float64),
        turns_BT=padded(per_token(lambda k, turn: k), -1).long(),
        rewards_BT=padded([[r for _, turn in part for r in last(turn)] for *_, part in rows]),
        anchors_BT=padded(per_token(lambda k, turn: turn.anchor), -1).long(),
        invalid_BT=padded(per_token(lambda k, turn: turn.invalid)) > 0,
        stats={Stat.OLD_ENTROPY: padded(entropies, math.nan)},
        steps=10,
    )


def by_step(batch: Batch) -> dict[tuple[int, int], float]:
    """Return the advantage of each (episode, turn), which must be equal at all its tokens."""
    found: dict[tuple[int, int], float] = {}
    for row, column in batch.valid_BT.nonzero().tolist():
        key = int(batch.episodes_B[row]), int(batch.turns_BT[row, column])
        value = float(batch.advantages[row, column])
        assert found.setdefault(key, value) == value
    return found


def estimated(plays: list[Play], algorithm: Algorithm, layout: str = "full"):
    return by_step(estimate_advantages(algorithm, played(plays, layout)))


def with_advantage(advantage, **slots) -> Algorithm:
    return Algorithm(name="test", advantage=advantage, **slots)


def random_plays(seed: int) -> list[Play]:
    draw = random.Random(seed)

    def turn():
        return Turn(
            anchor=draw.randrange(4),
            reward=draw.choice((0.0, 0.0, 1.0, 2.5)),
            entropies=tuple(draw.random() * 2 for _ in range(draw.randint(1, 4))),
            invalid=draw.random() < 0.3,
        )

    groups = (3, 3, 5, 3, 5, 5, 9)
    return [(group, [turn() for _ in range(draw.randint(1, 5))]) for group in groups]


LAYOUTS = ("window", "full")


def entropy_batch(entropies: torch.Tensor, mask: torch.Tensor, **fields) -> Batch:
    """Rows of one turn each with the given current entropies."""
    count = torch.arange(len(mask))
    zeros = torch.zeros_like(entropies)
    stats = dict.fromkeys((Stat.LOGPROBS, Stat.OLD_LOGPROBS), zeros)
    batch = Batch(
        mask_BT=mask,
        groups_B=count,
        episodes_B=count,
        returns_B=zeros[:, 0],
        turns_BT=torch.zeros_like(mask).long(),
        advantages_BT=zeros,
        stats={**stats, Stat.ENTROPY_GRAD: entropies, Stat.OLD_ENTROPY: entropies.detach()},
        steps=10,
    )
    return replace(batch, **fields)


MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.float64)
ENTROPIES = torch.tensor([[0.1, 0.9, 3.0, 99.0], [1.1, 0.4, 2.2, 1.4]], dtype=torch.float64)
