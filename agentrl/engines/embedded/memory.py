"""Slots for sequences, within a budget of bytes."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from agentrl.engines.embedded.prefixes import PrefixStore
from agentrl.engines.embedded.resting import Resting
from agentrl.engines.embedded.sequence import CachedSequence, Use
from agentrl.engines.embedded.store import KVShape, KVStore

_FIRST_SLOTS = 8
_FIRST_CAPACITY = 64


class Memory:
    """The stores of tails and of shared prefixes, and who sits in which tail slot.

    Args:
        shape: layout of one cached token.
        budget: bytes that both stores together may take.
        drop: takes a sequence out of everything, `leave` included; called to make room.

    Attributes:
        tails: a slot for every sequence.
        prefixes: beginnings that several sequences share.
        sequences: whoever has a slot, in order of arrival.
        resting: those among them that may be dropped.
        evictions: how many were dropped for want of memory.
    """

    def __init__(self, shape: KVShape, budget: int, drop: Callable[[CachedSequence], None]) -> None:
        self.budget = budget
        self.tails = KVStore(shape)
        self.prefixes = PrefixStore(shape)
        self.sequences: dict[CachedSequence, None] = {}
        self.resting = Resting()
        self.evictions = 0
        self._drop = drop
        self._free: list[int] = []

    def enter(
        self, tokens: list[int], source: CachedSequence | None, force: bool
    ) -> CachedSequence | None:
        """Return a new sequence in the lowest free slot; None if there is none to be had.

        Args:
            tokens: of the new sequence.
            source: about to be copied, so it is not dropped.
            force: go beyond the budget rather than return None.
        """
        if not self._free:
            victim = self.resting.oldest((source,), spare=True)
            if victim is not None:
                self._drop(victim)
            elif not self._grow() and not self._make_room(source, force):
                return None
        sequence = CachedSequence(tokens, heapq.heappop(self._free))
        self.sequences[sequence] = None
        return sequence

    def leave(self, sequence: CachedSequence) -> None:
        """Free the slot of a sequence, and its part in a shared prefix."""
        del self.sequences[sequence]
        heapq.heappush(self._free, sequence.slot)
        self.resting.discard(sequence)
        self.prefixes.leave(sequence, self.budget)
        sequence.use = Use.DROPPED

    def reserve(
        self,
        sequence: CachedSequence,
        length: int,
        force: bool,
        spared: CachedSequence | None = None,
    ) -> bool:
        """Make room for `length` tokens of `sequence`; False if the budget does not allow it."""
        need = length - sequence.start
        if need <= self.tails.capacity:
            return True
        capacity = _doubled(max(self.tails.capacity, _FIRST_CAPACITY), need)
        while len(self.sequences) > self._slots_within(capacity):
            victim = self.resting.oldest((sequence, spared))
            if victim is None:
                if not force:
                    return False
                break
            self.evict(victim)
        slots = min(self.tails.slots, max(self._slots_within(capacity), len(self.sequences)))
        self._resize(slots, capacity)
        return True

    def evict(self, victim: CachedSequence) -> None:
        """Drop a sequence for want of memory."""
        self.evictions += 1
        self._drop(victim)

    def clear(self) -> None:
        """Drop everything; the memory stays allocated."""
        for sequence in self.sequences:
            sequence.use = Use.DROPPED
        self.sequences.clear()
        self.resting.clear()
        self.prefixes.clear()
        self._free = list(range(self.tails.slots))

    def free(self) -> None:
        """Drop everything and give the memory back."""
        self.clear()
        self._resize(0, 0)
        self.prefixes.store.resize(0, 0)

    def _slots_within(self, capacity: int) -> int:
        left = max(self.budget - self.prefixes.store.bytes, 0)
        return left // max(self.tails.bytes_of(1, capacity), 1)

    def _resize(self, slots: int, capacity: int) -> None:
        keep = sorted(self.sequences, key=lambda sequence: sequence.slot)
        self.tails.resize(slots, capacity, [sequence.slot for sequence in keep])
        for slot, sequence in enumerate(keep):
            sequence.slot = slot
        self._free = list(range(len(keep), slots))

    def _grow(self) -> bool:
        capacity = self.tails.capacity or _FIRST_CAPACITY
        most = self._slots_within(capacity)
        if most <= self.tails.slots:
            # Long sequences may have left; with shorter slots more of them fit.
            longest = max((_extent(sequence) for sequence in self.sequences), default=0)
            capacity = _doubled(_FIRST_CAPACITY, longest)
            most = self._slots_within(capacity) if capacity < self.tails.capacity else 0
        slots = min(max(_FIRST_SLOTS, 2 * self.tails.slots), most)
        if slots <= len(self.sequences):
            return False
        self._resize(slots, capacity)
        return True

    def _make_room(self, source: CachedSequence | None, force: bool) -> bool:
        victim = self.resting.oldest((source,))
        if victim is not None:
            self.evict(victim)
            return True
        if force:
            self._resize(len(self.sequences) + 1, self.tails.capacity or _FIRST_CAPACITY)
        return force


def _doubled(capacity: int, need: int) -> int:
    """Return `capacity`, doubled until `need` fits."""
    while capacity < need:
        capacity *= 2
    return capacity


def _extent(sequence: CachedSequence) -> int:
    """Tail positions that a sequence needs."""
    running = sequence.use is Use.RUNNING
    return (len(sequence.tokens) if running else sequence.computed) - sequence.start
