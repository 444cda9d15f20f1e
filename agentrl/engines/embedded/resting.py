"""Sequences that no request is served from, in the order in which they are given up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from agentrl.engines.embedded.sequence import CachedSequence, Use


class Resting:
    """Released sequences before idle ones, the least recently used first."""

    def __init__(self) -> None:
        self._queues: dict[Use, OrderedDict[CachedSequence, None]] = {
            Use.RELEASED: OrderedDict(),
            Use.IDLE: OrderedDict(),
        }

    def add(self, sequence: CachedSequence, use: Use) -> None:
        """Take in a sequence as the most recently used of its kind, also from the other kind."""
        self.discard(sequence)
        sequence.use = use
        self._queues[use][sequence] = None

    def discard(self, sequence: CachedSequence) -> None:
        """Take out a sequence, if it is here."""
        for queue in self._queues.values():
            queue.pop(sequence, None)

    def refresh(self, sequence: CachedSequence) -> None:
        """Count a sequence, if it is here, as used just now."""
        queue = self._queues.get(sequence.use)
        if queue is not None:
            queue.move_to_end(sequence)

    def oldest(
        self, needed: Collection[CachedSequence | None] = (), *, spare: bool = False
    ) -> CachedSequence | None:
        """Return what is to be given up first, or None.

        Args:
            needed: never returned.
            spare: return only a sequence that nobody is known to come back to.
        """
        kinds = (Use.RELEASED,) if spare else (Use.RELEASED, Use.IDLE)
        for sequence in (sequence for kind in kinds for sequence in self._queues[kind]):
            if sequence not in needed and not (spare and sequence.wanted):
                return sequence
        return None

    def clear(self) -> None:
        """Take out everything."""
        for queue in self._queues.values():
            queue.clear()
