"""Anchor groups: which steps of a group began in the same state (GiGPO).

Source: Group-in-Group Policy Optimization; langfengQ/verl-agent:gigpo/core_gigpo.py,
`build_step_group`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.steps import Steps
from agentrl.errors import StatisticMissing

MATCHES = ("anchor", "observation", "similarity")


def similar(text: str, other: str, threshold: float) -> bool:
    """Return whether `SequenceMatcher(None, text, other).ratio() >= threshold`."""
    matcher = SequenceMatcher(None, text, other)
    return (  # the first two are upper bounds of the third, and much faster
        matcher.real_quick_ratio() >= threshold
        and matcher.quick_ratio() >= threshold
        and matcher.ratio() >= threshold
    )


def clusters(texts: Iterable[str], threshold: float) -> list[int]:
    """Put each text into the first cluster whose first member it resembles, else into a new one.

    Returns:
        The cluster of each text, numbered from 0 by first appearance.  The order of `texts`
        matters; repeating a text does not.
    """
    members: list[str] = []
    known: dict[str, int] = {}
    found = []
    for text in texts:
        if text not in known:
            near = (n for n, member in enumerate(members) if similar(text, member, threshold))
            known[text] = next(near, len(members))
            if known[text] == len(members):
                members.append(text)
        found.append(known[text])
    return found


def anchor_groups(batch: Batch, index: Steps, match: str, threshold: float) -> Tensor:
    """Return a number per step [S], equal for steps of one group that share their anchor.

    A step without an anchor (-1) is alone.

    Args:
        batch: with `anchors_BT`, or `observations_BT` and `texts`.
        index: its steps.
        match: `anchor` compares the environment's states, `observation` the texts shown before
            the turn, `similarity` joins texts by `clusters`.  The texts of a group are scanned by
            the first turn in which they appear, then alphabetically, so neither the order of
            rows nor labels matter; the released code scans rows as they come.
        threshold: least similarity, in [0, 1].

    Raises:
        StatisticMissing: the rollout has no such field, or no step has an anchor.
    """
    name = "anchors_BT" if match == "anchor" else "observations_BT"
    state_S = index.first(batch.need(name).long())
    if index.count and bool((state_S < 0).all()):
        raise StatisticMissing(
            f"No step has an anchor in `{name}`, so no two states can be found equal; let the "
            'environment set info["anchor"], or use `match="observation"` or `step_weight=0`.'
        )
    if match == "similarity":
        state_S = _joined(state_S, index, batch.texts, threshold)
    alone_S = -1 - torch.arange(index.count, device=state_S.device)
    pairs_S2 = torch.stack([index.group_S.long(), torch.where(state_S < 0, alone_S, state_S)], -1)
    label_S: Tensor = torch.unique(pairs_S2, dim=0, return_inverse=True)[1]
    return label_S


def _joined(state_S: Tensor, index: Steps, texts: Sequence[str], threshold: float) -> Tensor:
    """Return the cluster of each step's text within its group [S]; -1 stays."""
    first: dict[tuple[int, int], int] = {}
    keys = list(zip(index.group_S.tolist(), state_S.tolist(), strict=True))
    for key, turn in zip(keys, index.turn_S.tolist(), strict=True):
        first[key] = min(turn, first.get(key, turn))
    joined: dict[tuple[int, int], int] = {}
    for group in {group for group, _ in keys}:
        own = [key for key in first if key[0] == group and key[1] >= 0]
        own.sort(key=lambda key: (first[key], texts[key[1]]))
        numbers = clusters((texts[state] for _, state in own), threshold)
        joined |= dict(zip(own, numbers, strict=True))
    return state_S.new_tensor([joined.get(key, -1) for key in keys])
