"""The flat layout of trees, and how rows are divided into micro-batches.

Every token that several rows share is laid out once.  N is the number of flat tokens, M the number
of sampled tokens among them that are trained, B and T are the rows and tokens of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor

from agentrl.errors import DataError
from agentrl.learner.rows import Rows
from agentrl.tree import Tree


@dataclass(frozen=True, slots=True)
class Run:
    """A maximal chain of flat tokens without a branch.

    Depth-first order makes the descendants of a run one contiguous range right behind it.

    Attributes:
        parent: index of the run before this one on the path; None at a root.
        start: first flat token.
        stop: one past the last flat token.
        subtree_stop: one past the last flat token of the last descendant.
    """

    parent: int | None
    start: int
    stop: int
    subtree_stop: int


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Some rows, laid out as one flat row of unique tokens.

    Attributes:
        rows_B: indices of the rows in the whole batch.
        ids_N: token ids, depth first.
        positions_N: position of each token in its own sequence.
        runs: the shape of the trees, in flat order.
        predictors_M: flat index of the token before each trained token (several trained tokens can
            have the same one: the first tokens of all children of a node).
        targets_M: ids of the trained tokens.
        gather_BT: for each token of each row its place in the M axis; 0 at padding.
        separate_tokens: N if every row were laid out by itself.
    """

    rows_B: Tensor
    ids_N: Tensor
    positions_N: Tensor
    runs: tuple[Run, ...]
    predictors_M: Tensor
    targets_M: Tensor
    gather_BT: Tensor
    separate_tokens: int


def split_by_tree(
    rows: Rows, chosen: Sequence[int], parts: int, generator: torch.Generator
) -> list[list[int]]:
    """Divide rows into optimiser batches of whole trees, as equal in number of trees as possible.

    Args:
        rows: all rows.
        chosen: indices of the rows to train.
        parts: how many batches; fewer if there are fewer trees.
        generator: draws the order of the trees; not used for a single batch.
    """
    by_tree: dict[int, list[int]] = {}
    for index in chosen:
        by_tree.setdefault(rows.rows[index].tree, []).append(index)
    trees = list(by_tree)
    parts = min(parts, len(trees))
    if parts > 1:
        order = torch.randperm(len(trees), generator=generator).tolist()
        trees = [trees[position] for position in order]
    cuts = [round(part * len(trees) / max(parts, 1)) for part in range(parts + 1)]
    return [
        [index for tree in trees[low:high] for index in by_tree[tree]]
        for low, high in pairwise(cuts)
    ]


def plan(rows: Rows, chosen: Sequence[int], microbatch_tokens: int) -> list[list[int]]:
    """Divide rows into micro-batches of at most `microbatch_tokens` unique tokens.

    A tree stays whole if it fits.  A larger one is cut between rows, neighbours in the tree kept
    together, and the path they share is repeated in each part.  A row is never cut: one that is
    larger than the budget gets a micro-batch of its own.

    Args:
        rows: all rows.
        chosen: indices of the rows to train, grouped by tree.
        microbatch_tokens: budget in unique tokens.

    Returns:
        Row indices of each micro-batch; their concatenation holds each chosen row once.
    """
    parts: list[list[int]] = []
    room = 0
    for tree_index, group in groupby(chosen, key=lambda index: rows.rows[index].tree):
        ordered = _depth_first(rows, rows.trees[tree_index], list(group))
        paths = [_path(rows, index) for index in ordered]
        whole = {node: count for path in paths for node, count in path.items()}
        if parts and sum(whole.values()) <= room:
            parts[-1] += ordered
            room -= sum(whole.values())
            continue
        placed: dict[int, int] = {}
        for index, path in zip(ordered, paths, strict=True):
            cost = sum(count for node, count in path.items() if node not in placed)
            if not placed or cost > room:
                parts.append([])
                room, placed, cost = microbatch_tokens, {}, sum(path.values())
            parts[-1].append(index)
            placed |= path
            room -= cost
    return parts


def lay_out(rows: Rows, chosen: Sequence[int], width: int, device: torch.device) -> MicroBatch:
    """Lay out some rows as one flat row of unique tokens.

    Args:
        rows: all rows.
        chosen: indices of the rows, grouped by tree.
        width: length of the T axis.
        device: where the tensors go.

    Raises:
        DataError: a sequence begins with a sampled token, which nothing predicts.
    """
    flat = _Flat()
    places: dict[tuple[int, int], tuple[int, int]] = {}
    for tree_index, group in groupby(chosen, key=lambda index: rows.rows[index].tree):
        lasts = [rows.rows[index].last for index in group]
        added = flat.add(rows.trees[tree_index], lasts)
        places |= {(tree_index, node): place for node, place in added.items()}
    predictors, targets, gather = _predictions(rows, chosen, places)
    padded = [row + [0] * (width - len(row)) for row in gather]
    tensors = [
        torch.tensor(values, dtype=torch.long, device=device)
        for values in (list(chosen), flat.ids, flat.positions, predictors, targets, padded)
    ]
    rows_B, ids_N, positions_N, predictors_M, targets_M, gather_BT = tensors
    return MicroBatch(
        rows_B=rows_B,
        ids_N=ids_N,
        positions_N=positions_N,
        runs=flat.runs(),
        predictors_M=predictors_M,
        targets_M=targets_M,
        gather_BT=gather_BT,
        separate_tokens=sum(sum(_path(rows, index).values()) for index in chosen),
    )


class _Flat:
    """Collects flat tokens and runs, tree by tree."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self._runs: list[tuple[int | None, int, int]] = []

    def add(self, tree: Tree, lasts: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Lay out the paths to `lasts`.

        Returns:
            For each node the flat index of its first token, and that of the token before it (-1 at
            the start of a sequence).
        """
        children = _children(tree, lasts)
        places: dict[int, tuple[int, int]] = {}
        # First node of a run, run of its parent, flat index and position of the token before it.
        stack: list[tuple[int, int | None, int, int]] = [(n, None, -1, -1) for n in children[None]]
        while stack:
            node, parent, previous, depth = stack.pop()
            run, start = len(self._runs), len(self.ids)
            while True:
                ids = tree.nodes[node].ids
                places[node] = len(self.ids), previous
                self.positions += range(depth + 1, depth + 1 + len(ids))
                self.ids += ids
                depth += len(ids)
                previous = len(self.ids) - 1 if ids else previous
                following = children.get(node, [])
                if len(following) != 1:
                    break
                node = following[0]
            self._runs.append((parent, start, len(self.ids)))
            stack += [(child, run, previous, depth) for child in following]
        return places

    def runs(self) -> tuple[Run, ...]:
        """Return all runs with the ends of their subtrees."""
        ends = [stop for _, _, stop in self._runs]
        for run in range(len(ends) - 1, -1, -1):
            parent = self._runs[run][0]
            if parent is not None:
                ends[parent] = max(ends[parent], ends[run])
        return tuple(Run(*run, end) for run, end in zip(self._runs, ends, strict=True))


def _children(tree: Tree, lasts: Sequence[int]) -> dict[int | None, list[int]]:
    """Return the children of each node on the paths to `lasts`, last child first (a stack)."""
    needed: set[int] = set()
    for last in lasts:
        node: int | None = last
        while node is not None and node not in needed:
            needed.add(node)
            node = tree.nodes[node].parent
    children: dict[int | None, list[int]] = {None: []}
    for index in sorted(needed, reverse=True):
        children.setdefault(tree.nodes[index].parent, []).append(index)
    return children


def _predictions(
    rows: Rows, chosen: Sequence[int], places: dict[tuple[int, int], tuple[int, int]]
) -> tuple[list[int], list[int], list[list[int]]]:
    """Number the trained tokens; return predictors [M], targets [M], and the M of each row."""
    predictors: list[int] = []
    targets: list[int] = []
    firsts: dict[tuple[int, int], int] = {}
    gather: list[list[int]] = []
    for index in chosen:
        row = rows.rows[index]
        gather.append([])
        for node in rows.spans(row):
            first = firsts.setdefault((row.tree, node.id), len(targets))
            gather[-1] += range(first, first + len(node.ids))
            if first < len(targets):
                continue
            start, previous = places[row.tree, node.id]
            if previous < 0:
                raise DataError(
                    f"Tree {rows.trees[row.tree].id!r}: node {node.id} is sampled but stands at "
                    "the start of a sequence; a sampled token needs at least one token before it."
                )
            predictors += [previous, *range(start, start + len(node.ids) - 1)]
            targets += node.ids
    return predictors, targets, gather


def _depth_first(rows: Rows, tree: Tree, members: Sequence[int]) -> list[int]:
    """Order rows of one tree so that neighbours share the longest paths."""
    return sorted(members, key=lambda index: [n.id for n in tree.path(rows.rows[index].last)])


def _path(rows: Rows, index: int) -> dict[int, int]:
    """Return the number of tokens of each node that a row needs."""
    row = rows.rows[index]
    return {node.id: len(node.ids) for node in rows.trees[row.tree].path(row.last)}
