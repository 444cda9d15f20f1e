"""Attention of a flat row of tokens over the slot cache, batched over sequences.

Rows that want the same number of tokens computed are one *block*: their queries become a
rectangle and attend with one kernel call.  Where the sequences of a block share a prompt, their
queries attend to the single copy of it in a second call, and the two results are merged by their
log-sum-exp, which is exact: with softmax normalisers exp(a), exp(b) of the two parts,
out = (exp(a) out_a + exp(b) out_b) / (exp(a) + exp(b)).

Shapes: N tokens in the flat row, R cache rows of a block, T tokens per row, P shared prefixes,
H query heads, J key/value heads, D head width, L cached positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Index = slice | Tensor
_CPU_KERNEL = "_scaled_dot_product_flash_attention_for_cpu"


def can_share(device: torch.device) -> bool:
    """Whether prompts can be shared here: it takes a kernel that returns the log-sum-exp."""
    return device.type == "cpu" and hasattr(torch.ops.aten, _CPU_KERNEL)


@dataclass(frozen=True, slots=True)
class SharedPart:
    """The prompts that the rows of a block share.

    Attributes:
        slots: the P prefix slots.
        length: positions of the longest one.
        bias: [P, 1, 1, length], minus infinity beyond a prefix's end; None if all are equally long.
        members: [P * M] block row of each member, padded with any row; None: rows are in order.
        place: [R] which of the P * M each block row is; None: rows are in order.
    """

    slots: Index
    count: int
    length: int
    bias: Tensor | None
    members: Tensor | None
    place: Tensor | None


@dataclass(frozen=True, slots=True)
class Block:
    """Flat rows `start:stop` as a rectangle of R cache rows by T tokens.

    Attributes:
        start: first flat row.
        stop: one past the last flat row.
        width: tokens per cache row, T.
        take: [R * T] flat row (from `start`) of each cell; None: they are in order.
        put: [stop - start] cell of each flat row; None: they are in order.
        slots: the R tail slots.
        length: cached positions to look at, L.
        bias: [R, 1, T, L], 0 where a token may look and minus infinity elsewhere.
        shared: the prompts in front of the tails, if any.
    """

    start: int
    stop: int
    width: int
    take: Tensor | None
    put: Tensor | None
    slots: Index
    length: int
    bias: Tensor
    shared: SharedPart | None


@dataclass(frozen=True, slots=True)
class StepContext:
    """What one forward pass reads and writes; see `agentrl.models.attention`.

    Attributes:
        tails: [layers, 2, slots, J, capacity, D].
        prefixes: the same for shared prompts.
        write: [N * J] row of the flattened tail store where each token's key and value go.
        blocks: cover the flat row.
    """

    tails: Tensor
    prefixes: Tensor
    write: Tensor
    blocks: list[Block]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Store keys and values of [1, J, N, D], then attend; returns [1, N, H, D]."""
        tails, width = self.tails[layer], key.shape[-1]
        tails[0].view(-1, width).index_copy_(
            0, self.write, key[0].transpose(0, 1).reshape(-1, width)
        )
        tails[1].view(-1, width).index_copy_(
            0, self.write, value[0].transpose(0, 1).reshape(-1, width)
        )
        query_NHD = query[0].transpose(0, 1)
        parts = [
            _attend_block(block, query_NHD, tails, self.prefixes[layer], scale)
            for block in self.blocks
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[None]


def _attend_block(
    block: Block, query_NHD: Tensor, tails: Tensor, prefixes: Tensor, scale: float
) -> Tensor:
    cells = query_NHD[block.start : block.stop]
    if block.take is not None:
        cells = cells[block.take]
    _, heads, width = cells.shape
    groups = tails.shape[2]
    rows = cells.shape[0] // block.width
    if block.width == 1:
        # The query heads of one key/value head act as its query positions: no keys are repeated.
        grid = cells.reshape(rows, groups, heads // groups, width).transpose(1, 2)
    else:
        grid = cells.reshape(rows, block.width, heads, width)
    keys, values = (part[block.slots, :, : block.length] for part in tails)
    if block.shared is None:
        out = _attend(grid, keys, values, block.bias, scale)
    else:
        out = _attend_with_prefix(block, grid, keys, values, prefixes, scale)
    if block.width == 1:
        out = out.transpose(1, 2)
    out = out.reshape(-1, heads, width)
    return out if block.put is None else out[block.put]


def _attend(grid: Tensor, keys: Tensor, values: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Attend with [R, T, heads, D] queries; returns the same shape."""
    query = grid.transpose(1, 2)
    out: Tensor = scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=bias.expand(-1, -1, query.shape[2], -1),
        scale=scale,
        enable_gqa=query.shape[1] != keys.shape[1],
    )
    return out.transpose(1, 2)


def _attend_with_prefix(
    block: Block, grid: Tensor, keys: Tensor, values: Tensor, prefixes: Tensor, scale: float
) -> Tensor:
    shared = block.shared
    assert shared is not None
    _, positions, heads, width = grid.shape
    own, own_lse = _attend_lse(grid, keys, values, block.bias, scale)
    members = grid if shared.members is None else grid[shared.members]
    stacked = members.reshape(shared.count, -1, heads, width)
    keys, values = (part[shared.slots, :, : shared.length] for part in prefixes)
    common, common_lse = _attend_lse(stacked, keys, values, shared.bias, scale)
    common = common.reshape(-1, positions, heads, width)
    common_lse = common_lse.reshape(-1, positions, heads)
    if shared.place is not None:
        common, common_lse = common[shared.place], common_lse[shared.place]
    weight = torch.sigmoid(common_lse - own_lse)[..., None]
    return torch.lerp(own, common, weight.to(own.dtype))


def _attend_lse(
    grid: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Attend; returns ([R, T, heads, D], log of the softmax normaliser [R, T, heads])."""
    kernel = getattr(torch.ops.aten, _CPU_KERNEL)
    out, lse = kernel(grid.transpose(1, 2), keys, values, attn_mask=bias, scale=scale)
    return out.transpose(1, 2), lse.transpose(1, 2)
