"""Which statistics of the old policy cost a forward pass, and which are copies.

The *old* policy is the model at the start of an update, whoever sampled the tokens.  If an update
is a single optimiser step and nothing reads the old policy before the loss, it *is* the current
policy: no weight has changed in between.  Then its statistics are detached copies of the current
ones, which is exact and saves a forward pass over the whole rollout.
"""

from __future__ import annotations

from agentrl.algorithms import Algorithm, Batch, Stat
from agentrl.algorithms.statistics import LogitStatistic, Statistic

_COPY_OF = {
    Stat.OLD_LOGPROBS: Stat.LOGPROBS,
    Stat.OLD_ENTROPY: Stat.ENTROPY,
    Stat.OLD_VALUES: Stat.VALUES,
}


def current_of(statistic: Statistic) -> Statistic | None:
    """Return the statistic under the current weights that an old one is a copy of, if any."""
    if isinstance(statistic, Stat):
        return _COPY_OF.get(statistic)
    return None if statistic.current else statistic.now()


def computed_before(
    needed: frozenset[Statistic], early: frozenset[Statistic], batch: Batch, updates_per_step: int
) -> set[Statistic]:
    """Return the old statistics that need a forward pass before the first optimiser step.

    Entropies measured by the engine stand in for `OLD_ENTROPY` where that is all that is missing.

    Args:
        needed: all that is read.
        early: what is read before the first micro-batch.
        batch: rows with what the engine reported.
        updates_per_step: optimiser steps of the update.
    """
    old = {stat for stat in needed if current_of(stat) is not None}
    if updates_per_step == 1:
        old &= early
    if old == {Stat.OLD_ENTROPY} and Stat.OLD_ENTROPY in batch.stats:
        return set()
    return old


def with_copies(algorithm: Algorithm, batch: Batch) -> Batch:
    """Copy current statistics to the old ones that had no forward pass of their own."""
    copies = {
        old: batch.stats[new].detach()
        for old in algorithm.requires
        if old not in batch.stats and (new := current_of(old)) in batch.stats
    }
    return batch.with_stats(copies)


def current_needs(algorithm: Algorithm, batch: Batch) -> set[Statistic]:
    """Return the current statistics of a micro-batch: what is read, and what is to be copied."""
    wanted = {stat for stat in algorithm.requires if stat.current}
    for old in algorithm.requires:
        new = current_of(old)
        if isinstance(old, LogitStatistic) and old not in batch.stats and new is not None:
            wanted.add(new)
    if Stat.OLD_ENTROPY not in batch.stats:
        wanted.add(Stat.ENTROPY)  # to copy it, and for the metrics
    return wanted
