"""Lays the tokens of one step out as a flat row and plans what attends to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.engines.embedded.attention import Block, Index, SharedPart, StepContext
from agentrl.engines.embedded.cache import SequenceCache
from agentrl.engines.embedded.sequence import CachedSequence

Work = tuple[CachedSequence, int]
"""A sequence and how many of its next tokens to compute."""

_DENSE_ENOUGH = 0.6
_PADDING_ALLOWED = 1.5


@dataclass(frozen=True, slots=True)
class Layout:
    """One forward pass.

    Attributes:
        ids: token ids [N].
        positions: position of each token in its sequence [N].
        context: the attention context.
        last: flat row of the last computed token of each sequence, in the order of `work`.
        work: the sequences in flat order.
    """

    ids: Tensor
    positions: Tensor
    context: StepContext
    last: list[int]
    work: list[Work]


def lay_out(work: Sequence[Work], cache: SequenceCache) -> Layout:
    """Plan a step: single tokens first, then longer runs, each kind as few rectangles."""
    groups = _group(work)
    shape, capacity = cache.tails.shape, cache.tails.capacity
    ordered: list[Work] = [item for group in groups for item in group]
    ids: list[int] = []
    positions: list[int] = []
    writes: list[int] = []
    last: list[int] = []
    for sequence, count in ordered:
        begin = sequence.computed
        base = sequence.slot * shape.heads * capacity - sequence.start
        if count == 1:
            ids.append(sequence.tokens[begin])
            positions.append(begin)
            writes.append(base + begin)
        else:
            ids += sequence.tokens[begin : begin + count]
            positions += range(begin, begin + count)
            writes += range(base + begin, base + begin + count)
        last.append(len(ids) - 1)
    blocks: list[Block] = []
    start = 0
    for group in groups:
        blocks.append(_block(group, start, shape.device, shape.dtype))
        start = blocks[-1].stop
    numbers = torch.tensor([ids, positions, writes], device=shape.device)
    heads = torch.arange(shape.heads, device=shape.device) * capacity
    write = (numbers[2][:, None] + heads).reshape(-1)
    context = StepContext(cache.tails.data, cache.prefixes.store.data, write, blocks)
    return Layout(numbers[0], numbers[1], context, last, ordered)


def _group(work: Sequence[Work]) -> list[list[Work]]:
    """Split into rectangles: equal kind of prefix, and not much padding."""
    groups: list[list[Work]] = []
    for shared in (False, True):
        chosen = [item for item in work if (item[0].prefix is not None) == shared]
        chosen.sort(key=lambda item: (item[1], item[0].slot))
        current: list[Work] = []
        tokens = 0
        for item in chosen:
            width = item[1]
            single = bool(current) and current[0][1] == 1 and width > 1
            padded = width * (len(current) + 1) > _PADDING_ALLOWED * (tokens + width)
            if single or padded:
                groups.append(current)
                current, tokens = [], 0
            current.append(item)
            tokens += width
        if current:
            groups.append(current)
    for group in groups:
        group.sort(key=lambda item: item[0].slot)
    return groups


def _block(group: list[Work], start: int, device: torch.device, dtype: torch.dtype) -> Block:
    slots = [sequence.slot for sequence, _ in group]
    width = max(count for _, count in group)
    first, span = slots[0], slots[-1] + 1 - slots[0]
    dense = len(group) >= (_DENSE_ENOUGH if width == 1 else 1.0) * span
    rows = [slot - first for slot in slots] if dense else list(range(len(group)))
    row_count = span if dense else len(group)
    index: Index = slice(first, first + span) if dense else torch.tensor(slots, device=device)
    stop = start + sum(count for _, count in group)
    take, put = _cells(group, rows, row_count, width, device)
    begins = [0] * row_count
    length = 0
    for row, (sequence, count) in zip(rows, group, strict=True):
        begins[row] = sequence.computed - sequence.start
        length = max(length, begins[row] + count)
    bias = _bias(begins, width, length, device, dtype)
    shared = None
    if group[0][0].prefix is not None:
        shared = _shared(group, rows, row_count, device, dtype)
    return Block(start, stop, width, take, put, index, length, bias, shared)


def _cells(
    group: list[Work], rows: list[int], row_count: int, width: int, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Which flat row feeds each cell, and in which cell each flat row is."""
    if len(group) == row_count and all(count == width for _, count in group):
        return None, None
    take = [0] * (row_count * width)
    put: list[int] = []
    flat = 0
    for row, (_, count) in zip(rows, group, strict=True):
        begin = row * width
        take[begin : begin + count] = range(flat, flat + count)
        put += range(begin, begin + count)
        flat += count
    return torch.tensor(take, device=device), torch.tensor(put, device=device)


def _bias(
    begins: list[int], width: int, length: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """[R, 1, T, L]: token t of row r sees the tail up to itself."""
    begin = torch.tensor(begins, device=device)
    reach = begin[:, None, None, None] + torch.arange(width, device=device)[:, None]
    hidden = torch.arange(length, device=device) > reach
    bias = torch.zeros(hidden.shape, dtype=dtype, device=device)
    return bias.masked_fill_(hidden, float("-inf"))


def _shared(
    group: list[Work], rows: list[int], row_count: int, device: torch.device, dtype: torch.dtype
) -> SharedPart:
    members: dict[int, list[int]] = {}
    lengths: dict[int, int] = {}
    for row, (sequence, _) in zip(rows, group, strict=True):
        assert sequence.prefix is not None
        members.setdefault(sequence.prefix.slot, []).append(row)
        lengths[sequence.prefix.slot] = sequence.prefix.length
    slots = sorted(members)
    most = max(len(part) for part in members.values())
    flat: list[int] = []
    place = [0] * row_count
    for number, slot in enumerate(slots):
        for at, row in enumerate(members[slot]):
            place[row] = number * most + at
        flat += members[slot] + members[slot][:1] * (most - len(members[slot]))
    length = max(lengths.values())
    bias = None
    if min(lengths.values()) < length:
        bias = _bias([lengths[slot] - 1 for slot in slots], 1, length, device, dtype)
    contiguous = slots[-1] + 1 - slots[0] == len(slots)
    in_order = flat == list(range(row_count))
    return SharedPart(
        slots=slice(slots[0], slots[-1] + 1) if contiguous else torch.tensor(slots, device=device),
        count=len(slots),
        length=length,
        bias=bias,
        members=None if in_order else torch.tensor(flat, device=device),
        place=None if in_order else torch.tensor(place, device=device),
    )
