"""Which statistics of the old policy cost a forward pass, and which are copies.

The *old* policy is the model at the start of an update, whoever sampled the tokens.  If an update
is a single optimiser step and nothing reads the old policy before the loss, it *is* the current
policy: no weight has changed in between.  Then its statistics are detached copies of the current
ones, which is exact and saves a forward pass over the whole rollout.
"""

from __future__ import annotations

from typing import Any

from agentrl.algorithms import Algorithm, Batch, Stat

COPY_OF = {
    Stat.OLD_LOGPROBS: Stat.LOGPROBS,
    Stat.OLD_ENTROPY: Stat.ENTROPY,
    Stat.OLD_VALUES: Stat.VALUES,
}
"""Statistics under the weights at the start of an update, and what they are copies of."""


def computed_before(algorithm: Algorithm, batch: Batch, updates_per_step: int) -> set[Stat]:
    """Return the old statistics that need a forward pass before the first optimiser step.

    Entropies measured by the engine stand in for `OLD_ENTROPY` where that is all that is missing.

    Args:
        algorithm: decides what is read, and when.
        batch: rows with what the engine reported.
        updates_per_step: optimiser steps of the update.
    """
    needed = algorithm.requires & set(COPY_OF)
    if updates_per_step == 1:
        needed &= _read_before_loss(algorithm)
    if needed == {Stat.OLD_ENTROPY} and Stat.OLD_ENTROPY in batch.stats:
        return set()
    return set(needed)


def with_copies(algorithm: Algorithm, batch: Batch) -> Batch:
    """Copy current statistics to the old ones that had no forward pass of their own."""
    copies = {
        old: batch.stats[new].detach()
        for old, new in COPY_OF.items()
        if old in algorithm.requires and old not in batch.stats and new in batch.stats
    }
    return batch.with_stats(copies)


def _read_before_loss(algorithm: Algorithm) -> frozenset[Stat]:
    """Return what slots read before the first micro-batch's forward pass."""
    early: list[Any] = [*algorithm.reward_shaping, algorithm.advantage, *algorithm.transforms]
    early += [algorithm.group_filter, *algorithm.sample_filters]
    needs = [slot.requires for slot in early if hasattr(slot, "requires")]
    return algorithm.prepare_requires.union(*needs)
