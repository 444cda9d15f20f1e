"""A row outside its rollout, and how rows are written to checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.memory.replay_buffer import Entry, Push
from agentrl.tree import Tree, Writer
from agentrl.types import Task


@dataclass(frozen=True, slots=True, eq=False)
class StoredRow:
    """What it takes to compute a row again.

    Attributes:
        tree: the paths of the stored rows of one tree of one update, without log-probs and texts.
        nodes: ids of the trained nodes, in path order.
        old_logprobs_T: of the sampled tokens, under the policy that the update began with.
        rollout_logprobs_T: of the sampled tokens, as the engine reported them; equal to
            `old_logprobs_T` where nothing is to be corrected.
        turns_T: turn of each token.
    """

    tree: Tree
    nodes: tuple[int, ...]
    old_logprobs_T: Tensor
    rollout_logprobs_T: Tensor
    turns_T: Tensor


def pruned(tree: Tree, lasts: Sequence[int]) -> tuple[Tree, dict[int, int]]:
    """Return a tree of the paths to `lasts` with ids only, and the new id of each node kept."""
    needed = sorted({node.id for last in lasts for node in tree.path(last)})
    place = {old: new for new, old in enumerate(needed)}
    kept = Tree(tree.id, tree.task)
    for old in needed:
        node = tree.nodes[old]
        parent = None if node.parent is None else place[node.parent]
        kept.add(parent, node.writer, node.ids, turn=node.turn)
    return kept, place


def push_state(push: Push[StoredRow]) -> dict[str, Any]:
    """Return a push as few tensors: everything along T or along nodes is joined."""
    rows = [entry.payload for entry in push.entries]
    trees = list({id(row.tree): row.tree for row in rows}.values())
    number = {id(tree): position for position, tree in enumerate(trees)}
    return {
        "step": push.step,
        "trees": [_tree_state(tree) for tree in trees],
        "tree": [number[id(row.tree)] for row in rows],
        "nodes": [list(row.nodes) for row in rows],
        "rewards": [entry.reward for entry in push.entries],
        "lengths": [len(row.turns_T) for row in rows],
        "mask": torch.cat([entry.mask_T for entry in push.entries]),
        "advantages": torch.cat([entry.advantages_T for entry in push.entries]),
        "old_logprobs": torch.cat([row.old_logprobs_T for row in rows]),
        "rollout_logprobs": torch.cat([row.rollout_logprobs_T for row in rows]),
        "turns": torch.cat([row.turns_T for row in rows]),
    }


def push_of(state: Mapping[str, Any]) -> Push[StoredRow]:
    """Return the push that `push_state` was given."""
    trees = [_tree_of(tree) for tree in state["trees"]]
    names = ("mask", "advantages", "old_logprobs", "rollout_logprobs", "turns")
    state = {"rollout_logprobs": state["old_logprobs"], **state}  # earlier versions kept none
    tensors = [torch.split(state[name].cpu(), state["lengths"]) for name in names]
    columns = zip(state["tree"], state["nodes"], state["rewards"], *tensors, strict=True)
    entries = []
    for tree, nodes, reward, mask_T, advantages_T, *kept in columns:
        stored = StoredRow(trees[tree], tuple(nodes), *(values_T.clone() for values_T in kept))
        entries.append(Entry(reward, mask_T.clone(), advantages_T.clone(), stored))
    return Push(state["step"], tuple(entries))


def _tree_state(tree: Tree) -> dict[str, Any]:
    return {
        "id": tree.id,
        "task": tree.task.to_json(),
        "parents": [-1 if node.parent is None else node.parent for node in tree.nodes],
        "writers": [str(node.writer) for node in tree.nodes],
        "turns": [node.turn for node in tree.nodes],
        "sizes": [len(node.ids) for node in tree.nodes],
        "ids": torch.tensor([token for node in tree.nodes for token in node.ids]),
    }


def _tree_of(state: Mapping[str, Any]) -> Tree:
    tree = Tree(state["id"], Task.from_json(state["task"]))
    pieces = torch.split(state["ids"].cpu(), state["sizes"])
    columns = zip(state["parents"], state["writers"], state["turns"], pieces, strict=True)
    for parent, writer, turn, ids in columns:
        tree.add(None if parent < 0 else parent, Writer(writer), ids.tolist(), turn=turn)
    return tree
