"""Beginnings that several sequences share, each stored once."""

from __future__ import annotations

from agentrl.engines.embedded.sequence import CachedSequence, Prefix
from agentrl.engines.embedded.store import KVShape, KVStore

_ROUND_TO = 64


class PrefixStore:
    """Slots for shared prefixes; a slot is free when its last user leaves."""

    def __init__(self, shape: KVShape) -> None:
        self.store = KVStore(shape)
        self._live: list[Prefix] = []

    def share(self, source: CachedSequence, length: int, tails: KVStore, budget: int) -> None:
        """Move the first `length` tokens of `source` here, if they fit into `budget` bytes."""
        slot = self._slot(length, budget)
        if slot is None:
            return
        self.store.copy(tails, source.slot, 0, slot, length)
        prefix = Prefix(slot, length)
        self._live.append(prefix)
        self.join(source, prefix, tails)

    def join(self, sequence: CachedSequence, prefix: Prefix, tails: KVStore) -> None:
        """Let a sequence that holds the tokens of a prefix itself use the shared copy instead.

        The rest of the sequence moves to the start of its slot in `tails`.
        """
        left = sequence.computed - prefix.length
        tails.copy(tails, sequence.slot, prefix.length, sequence.slot, left)
        sequence.prefix = prefix
        prefix.users += 1

    def leave(self, sequence: CachedSequence, budget: int) -> None:
        """End a sequence's use of its prefix, if it has one."""
        prefix, sequence.prefix = sequence.prefix, None
        if prefix is None:
            return
        prefix.users -= 1
        if prefix.users == 0:
            self._live.remove(prefix)
            if not self._live and 2 * self.store.bytes > budget:
                self.store.resize(0, 0)

    def clear(self) -> None:
        """Forget all prefixes; the memory stays allocated."""
        self._live.clear()

    def _slot(self, length: int, budget: int) -> int | None:
        store = self.store
        taken = {prefix.slot for prefix in self._live}
        fits = length <= store.capacity
        if fits and len(taken) < store.slots:
            return min(set(range(store.slots)) - taken)
        capacity = store.capacity
        if not fits:
            # A quarter to spare: branches share ever longer beginnings, one after the other.
            capacity = -(-max(length, capacity * 5 // 4) // _ROUND_TO) * _ROUND_TO
        slots = store.slots if len(taken) < store.slots else max(2 * store.slots, 1)
        if store.bytes_of(slots, capacity) > budget:
            return None
        keep = sorted(self._live, key=lambda prefix: prefix.slot)
        store.resize(slots, capacity, [prefix.slot for prefix in keep])
        for slot, prefix in enumerate(keep):
            prefix.slot = slot
        return len(keep)
