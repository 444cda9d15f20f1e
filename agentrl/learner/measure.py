"""Which statistics of the model an update needs, and when they are computed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from agentrl.algorithms import Algorithm, Batch, Stat
from agentrl.algorithms.statistics import Statistic
from agentrl.learner.forward import forward, forward_frozen
from agentrl.learner.head import predict
from agentrl.learner.old_policy import computed_before, current_needs, current_of, with_copies
from agentrl.learner.packing import MicroBatch, Run, lay_out, plan
from agentrl.learner.reference import Reference
from agentrl.learner.rows import Rows
from agentrl.learner.tree_attention import TreeAttention
from agentrl.models.attention import hidden_states
from agentrl.tree import Episode, Tree, Writer


class Measure:
    """Runs the model, and its reference, over rows.

    Args:
        model: the trained model.
        value_head: a module [M, d] -> [M, 1], where the algorithm has a critic.
        reference: a frozen policy; None keeps the model as it is when it is first read.
        temperature: of the rollouts.
        microbatch_tokens: most unique tokens in one forward pass.
        updates_per_step: optimiser steps of one update.
    """

    def __init__(
        self,
        model: nn.Module,
        value_head: nn.Module | None,
        reference: nn.Module | None,
        *,
        temperature: float,
        microbatch_tokens: int,
        updates_per_step: int,
    ) -> None:
        self.model = model
        self.value_head = value_head
        self.reference = Reference(model, reference)
        self._temperature = temperature
        self._microbatch_tokens = microbatch_tokens
        self._updates_per_step = updates_per_step
        weight: Tensor = model.get_output_embeddings().weight  # type: ignore[operator]
        self.device = weight.device

    def micro_batches(self, found: Rows, chosen: Sequence[int]) -> Iterator[MicroBatch]:
        """Yield rows in parts of at most `microbatch_tokens` unique tokens, laid out."""
        width = found.batch.mask_BT.shape[1]
        for part in plan(found, chosen, self._microbatch_tokens):
            yield lay_out(found, part, width, self.device)

    def before(
        self, algorithm: Algorithm, found: Rows, batch: Batch, also: Collection[Statistic] = ()
    ) -> Batch:
        """Add the statistics that do not change during the update.

        Args:
            algorithm: decides what is read, and when.
            found: the rows.
            batch: their batch.
            also: old statistics that controllers read beforehand.
        """
        everything = range(len(found.rows))
        needed, early = algorithm.requires | set(also), algorithm.early_requires | set(also)
        old = computed_before(needed, early, batch, self._updates_per_step)
        if old:
            copies = {stat: now for stat in old if (now := current_of(stat)) is not None}
            current = self.frozen(found, everything, copies.values())
            batch = batch.with_stats({stat: current[now] for stat, now in copies.items()})
        if Stat.REF_LOGPROBS in algorithm.requires:
            with self.reference.policy() as model:
                reference = self.frozen(found, everything, (), model)
            batch = batch.with_stats({Stat.REF_LOGPROBS: reference[Stat.LOGPROBS]})
        if any(getattr(slot, "reads_prompt_logprobs", False) for slot in algorithm.filled()):
            batch.prompt_logprobs_BP = self._prompt_logprobs(found)
        return batch

    def frozen(
        self,
        found: Rows,
        chosen: Sequence[int],
        wanted: Collection[Statistic],
        model: nn.Module | None = None,
    ) -> dict[Statistic, Tensor]:
        """Compute statistics [B, T] without gradient; rows that are not chosen stay 0."""
        stats: dict[Statistic, Tensor] = {}
        for micro in self.micro_batches(found, chosen):
            part = forward_frozen(
                self.model if model is None else model,
                micro,
                wanted,
                temperature=self._temperature,
                value_head=self.value_head,
            )
            for name, values_BT in part.items():
                whole = stats.setdefault(name, values_BT.new_zeros(found.batch.mask_BT.shape))
                whole[micro.rows_B] = values_BT
        return stats

    def current(self, algorithm: Algorithm, micro: MicroBatch, batch: Batch) -> Batch:
        """Return the rows of a micro-batch with the statistics of the current weights."""
        stats, _ = forward(
            self.model,
            micro,
            current_needs(algorithm, batch),
            temperature=self._temperature,
            value_head=self.value_head,
        )
        return with_copies(algorithm, batch.rows(micro.rows_B).with_stats(stats))

    @torch.no_grad()
    def _prompt_logprobs(self, found: Rows) -> Tensor:
        """Return the log-probs of each episode's first prompt [B, P], NaN at padding and first."""
        known: dict[tuple[int, ...], Tensor] = {}
        rows = []
        for row in found.rows:
            tree = found.trees[row.tree]
            ids = tuple(_first_prompt(tree, tree.episodes[row.episode]))
            if ids not in known:
                known[ids] = self._sequence_logprobs(ids)
            rows.append(known[ids])
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=float("nan"))

    def _sequence_logprobs(self, ids: Sequence[int]) -> Tensor:
        ids_N = torch.tensor(ids, device=self.device)
        context = TreeAttention((Run(None, 0, len(ids), len(ids)),))
        positions_N = torch.arange(len(ids), device=self.device)
        hidden_Nd = hidden_states(self.model, ids_N, positions_N, context)
        weight_Vd: Tensor = self.model.get_output_embeddings().weight  # type: ignore[operator]
        found = predict(hidden_Nd[:-1], weight_Vd, ids_N[1:], temperature=self._temperature)
        return nn.functional.pad(found.logprobs_M, (1, 0), value=float("nan"))


def _first_prompt(tree: Tree, episode: Episode) -> list[int]:
    """Return the ids before the first sampled token of an episode."""
    ids: list[int] = []
    for node in tree.path(episode.sequences[0]):
        if node.writer is Writer.MODEL:
            break
        ids += node.ids
    return ids
