"""Rows that outlive their rollout: what is kept of a row, and how it is trained again.

`agentrl.algorithms.memory.replay` decides which rows and when.  Here a stored row is a place in a
tree that holds only the paths of stored rows, so that replaying uses the ordinary layout and
forward pass, and rows of one tree still share their prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import Batch, Stat
from agentrl.algorithms.behaviour.weights import sampled_as_trained
from agentrl.algorithms.memory.replay import Replay
from agentrl.algorithms.memory.replay_buffer import (
    Entry,
    GroupScores,
    ReplayBuffer,
    group_scores,
)
from agentrl.learner.rows import Row, Rows
from agentrl.learner.stored import StoredRow, pruned, push_of, push_state
from agentrl.tree import Tree

_pad = torch.nn.utils.rnn.pad_sequence
_REPORTED = (
    "loss", "grad_norm", "ratio", "advantage", "clip/high", "clip/low", "token_weight", "updates",
    "skipped",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replayed:
    """Rows to train again.

    Attributes:
        rows: their places and their batch, advantages and old log-probs included, on the CPU.
        parts: row indices of each optimiser step, neighbours in a tree side by side.
        weight: gamma, the factor of their loss.
    """

    rows: Rows
    parts: list[list[int]]
    weight: float


@dataclass(slots=True)
class RowReplay:
    """The learner's replay buffer.

    Attributes:
        settings: of the algorithm.
        buffer: what is stored.
    """

    settings: Replay
    buffer: ReplayBuffer[StoredRow] = field(init=False)
    _old: dict[int, Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.buffer = self.settings.start()

    def select(self, step: int, generator: torch.Generator) -> Replayed | None:
        """Return what is to be replayed in update `step`; None for nothing."""
        entries = self.buffer.select(step, generator)
        if not entries:
            return None
        found = _rows(entries, step)
        count = min(self.settings.updates, len(entries))
        cuts = [round(part * len(entries) / count) for part in range(count + 1)]
        parts = [list(range(low, high)) for low, high in pairwise(cuts)]
        for part in parts:
            part.sort(key=lambda index: found.rows[index].tree)
        return Replayed(found, parts, self.settings.weight(step))

    def collect(self, batch: Batch) -> None:
        """Note the old log-probs of a micro-batch of the update that is running, if finite."""
        old_BT = batch.clean().stat(Stat.OLD_LOGPROBS).detach().cpu()
        for index, old_T in zip(batch.need("index_B").tolist(), old_BT, strict=True):
            if old_T.isfinite().all():
                self._old[index] = old_T

    def store(self, found: Rows, batch: Batch) -> dict[str, float]:
        """Keep the rows of an update that did better than their group, and report.

        Args:
            found: its rows.
            batch: with advantages.
        """
        wanted = (batch.advantages.mean(-1) > 0) & batch.valid_BT.any(-1)
        if self.settings.needs_tool_call:
            wanted &= batch.component("tool_calls") > 0
        chosen = [index for index in wanted.nonzero()[:, 0].tolist() if index in self._old]
        batch = batch.mapped(lambda tensor: tensor.cpu())
        self.buffer.push(
            group_scores(batch, self.settings.group_std), self._entries(found, batch, chosen)
        )
        self._old = {}
        mean, std = self.buffer.baseline
        return {
            "replay/stored": float(len(self.buffer.entries())),
            "replay/useful": float(self.buffer.useful()),
            "replay/baseline": mean,
            "replay/baseline_std": std,
        }

    def _entries(self, found: Rows, batch: Batch, chosen: list[int]) -> list[Entry[StoredRow]]:
        trees: dict[int, Tree] = {}
        places: dict[int, dict[int, int]] = {}
        for tree in dict.fromkeys(found.rows[index].tree for index in chosen):
            lasts = [found.rows[i].last for i in chosen if found.rows[i].tree == tree]
            trees[tree], places[tree] = pruned(found.trees[tree], lasts)
        entries = []
        for index in chosen:
            row = found.rows[index]
            count = sum(len(node.ids) for node in found.spans(row))
            nodes = tuple(places[row.tree][node] for node in row.nodes)
            stored = StoredRow(
                trees[row.tree],
                nodes,
                self._old[index][:count].clone(),
                self._rollout_logprobs(batch, index)[:count].clone(),
                batch.turns_BT[index, :count].clone(),
            )
            entries.append(
                Entry(
                    float(batch.returns_B[index]),
                    batch.valid_BT[index, :count].float(),
                    batch.advantages[index, :count].clone(),
                    stored,
                )
            )
        return entries

    def _rollout_logprobs(self, batch: Batch, index: int) -> Tensor:
        """Return those of a row [T]; the old ones where the engine's are not to be corrected."""
        if Stat.ROLLOUT_LOGPROBS in batch.stats and sampled_as_trained(batch)[index]:
            return batch.stat(Stat.ROLLOUT_LOGPROBS)[index]
        return self._old[index]

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer as numbers, strings and tensors."""
        return {
            "history": [[s.step, list(s.means), list(s.stds)] for s in self.buffer.history],
            "pushes": [push_state(push) for push in self.buffer.pushes],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.buffer.history = [
            GroupScores(step, tuple(means), tuple(stds)) for step, means, stds in state["history"]
        ]
        self.buffer.pushes = [push_of(push) for push in state["pushes"]]
        self._old = {}


def scalars(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the report of replay steps under names of its own."""
    found = {f"replay/{name}": metrics[name] for name in _REPORTED if name in metrics}
    return found | {"replay/tokens": metrics["tokens/trained"]}


def _rows(entries: Sequence[Entry[StoredRow]], step: int) -> Rows:
    """Return stored rows as the learner's rows; every tree is a group, every row an episode."""
    stored = [entry.payload for entry in entries]
    trees = list({id(row.tree): row.tree for row in stored}.values())
    number = {id(tree): position for position, tree in enumerate(trees)}
    index = tuple(Row(number[id(row.tree)], 0, row.nodes) for row in stored)
    count_B = torch.arange(len(stored))
    ids = [[i for node in row.nodes for i in row.tree.nodes[node].ids] for row in stored]
    old_BT = _pad([row.old_logprobs_T for row in stored], batch_first=True)
    rollout_BT = _pad([row.rollout_logprobs_T for row in stored], batch_first=True)
    batch = Batch(
        mask_BT=_pad([entry.mask_T for entry in entries], batch_first=True),
        groups_B=torch.tensor([row.tree for row in index]),
        episodes_B=count_B,
        returns_B=torch.tensor([entry.reward for entry in entries]),
        turns_BT=_pad([row.turns_T for row in stored], batch_first=True, padding_value=-1),
        ids_BT=_pad([torch.tensor(row) for row in ids], batch_first=True),
        index_B=count_B,
        step=step,
        stats={Stat.OLD_LOGPROBS: old_BT, Stat.ROLLOUT_LOGPROBS: rollout_BT},
        advantages_BT=_pad([entry.advantages_T for entry in entries], batch_first=True),
    )
    return Rows(trees, index, batch)
