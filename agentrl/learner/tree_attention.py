"""Attention along tree paths: each token attends to the tokens between it and its root.

Symbols: N flat tokens, H query heads, J key/value heads, D head width.

A token's keys are those of its own run up to itself, and all of each run above.  In depth-first
order the descendants of a run are one contiguous range, so the work splits into two kinds of
blocks, neither of which needs a mask or a gather:

* each run attends causally to itself;
* all descendants of a run attend fully to it, together.

Each block gives an output and the log-sum-exp L of its scores; two blocks of the same queries
combine as o = o1 + (o2 - o1) sigmoid(L2 - L1).  Going back, a block's gradients are those of
ordinary attention with the *combined* output and log-sum-exp, because they enter the softmax
gradient P (dP - rowsum(dO O)) only through P = exp(S - L) and O.  This is the merge rule of
blockwise attention (Ring Attention with Blockwise Transformers, 2310.01889) applied to a tree.

The blocks use the CPU flash kernel of torch.  On other devices every run gathers the keys of its
path and calls `scaled_dot_product_attention` with an offset causal mask.  An optimiser step on 16
leaves (9,411 tokens, model width 256) took 9.2 CPU seconds with blocks, 10.5 with gathered paths,
and 41 with one ancestor mask over all tokens (`benchmarks/tree_training.py --attention all`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from agentrl.learner.packing import Run

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class TreeAttention:
    """The learner's attention context (see `agentrl.models.attention.AttentionContext`)."""

    def __init__(self, runs: Sequence[Run], blockwise: bool | None = None) -> None:
        """Prepare one pass over flat tokens.

        Args:
            runs: the shape of the trees, in flat order.
            blockwise: True to use the block algorithm; None chooses it on the CPU.
        """
        self._runs = tuple(runs)
        self._blockwise = blockwise
        self._blocks = tuple(_blocks(run for run in runs if run.stop > run.start))
        self._paths: list[tuple[Run, Tensor, Tensor]] | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend along the paths; shapes as in `AttentionContext.attend`."""
        blockwise = query.device.type == "cpu" if self._blockwise is None else self._blockwise
        if blockwise:
            out: Tensor = _BlockAttention.apply(  # type: ignore[no-untyped-call]
                query, key, value, self._blocks, scale
            )
            return out
        return self._attend_paths(query, key, value, scale)

    def _attend_paths(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        grouped = query.shape[1] != key.shape[1]
        if self._paths is None:  # one context serves all layers of a pass
            self._paths = list(_paths(self._runs, query.device))
        outputs = [
            functional.scaled_dot_product_attention(
                query[:, :, run.start : run.stop],
                key[:, :, path],
                value[:, :, path],
                attn_mask=mask,
                scale=scale,
                enable_gqa=grouped,
            )
            for run, path, mask in self._paths
        ]
        return torch.cat(outputs, dim=2).transpose(1, 2)


Block = tuple[slice, slice, bool]
"""Flat range of the queries, flat range of the keys, and whether the block is causal."""


def _blocks(runs: Iterable[Run]) -> Iterator[Block]:
    """Yield all blocks; the causal block of a query comes before its others."""
    runs = list(runs)
    for run in runs:
        own = slice(run.start, run.stop)
        yield own, own, True
    for run in runs:
        if run.subtree_stop > run.stop:
            yield slice(run.stop, run.subtree_stop), slice(run.start, run.stop), False


def _paths(runs: Sequence[Run], device: torch.device) -> Iterator[tuple[Run, Tensor, Tensor]]:
    """Yield each run with the flat indices of its path and its offset causal mask."""
    paths: list[Tensor] = []
    for run in runs:
        own = torch.arange(run.start, run.stop, device=device)
        paths.append(own if run.parent is None else torch.cat([paths[run.parent], own]))
        count, total = len(own), len(paths[-1])
        if count:
            mask = torch.ones(count, total, dtype=torch.bool, device=device).tril(total - count)
            yield run, paths[-1], mask


class _BlockAttention(torch.autograd.Function):
    """Sums attention over blocks; queries, keys and values [1, heads, N, D] -> [1, N, H, D]."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: Sequence[Block], scale: float
    ) -> Tensor:
        _, heads, count, width = query.shape
        # The kernel works in this memory order; lse is float32 for half-precision inputs.
        precise = torch.promote_types(query.dtype, torch.float32)
        out = query.new_empty((1, count, heads, width), dtype=precise).transpose(1, 2)
        lse = query.new_empty((1, count, heads), dtype=precise).transpose(1, 2)
        for rows, columns, causal in blocks:
            part, part_lse = _forward(
                query[:, :, rows],
                key[:, :, columns],
                value[:, :, columns],
                0.0,
                causal,
                scale=scale,
            )
            if causal:
                out[:, :, rows], lse[:, :, rows] = part, part_lse
            else:
                gap = (part_lse - lse[:, :, rows]).sigmoid_()
                out[:, :, rows].lerp_(part.to(precise), gap[..., None])
                lse[:, :, rows] = torch.logaddexp(lse[:, :, rows], part_lse)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.blocks, ctx.scale = blocks, scale
        return out.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, out, lse = ctx.saved_tensors
        grad = grads[0].transpose(1, 2)
        totals = [torch.zeros_like(tensor) for tensor in (query, key, value)]
        for rows, columns, causal in ctx.blocks:
            parts = _backward(
                grad[:, :, rows],
                query[:, :, rows],
                key[:, :, columns],
                value[:, :, columns],
                out[:, :, rows],
                lse[:, :, rows],
                0.0,
                causal,
                scale=ctx.scale,
            )
            for total, part, where in zip(totals, parts, (rows, columns, columns), strict=True):
                total[:, :, where] += part
        return totals[0], totals[1], totals[2], None, None
