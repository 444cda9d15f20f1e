"""Which sequence sits in which slot: continuing, forking, sharing and evicting."""

from __future__ import annotations

from dataclasses import dataclass

from agentrl.engines.embedded.prefixes import PrefixStore
from agentrl.engines.embedded.sequence import CachedSequence, Use, common_length
from agentrl.engines.embedded.store import KVShape, KVStore

_FIRST_SLOTS = 8
_FIRST_CAPACITY = 64


@dataclass(frozen=True, slots=True)
class Match:
    """The cached sequence that shares most with a prompt.

    Attributes:
        source: the sequence, or None.
        length: shared tokens that are computed.
        continues: whether it is the caller's own session, all of which is of use.
    """

    source: CachedSequence | None = None
    length: int = 0
    continues: bool = False


class SequenceCache:
    """Slots under a memory budget.

    Every sequence has a *tail* slot.  A long beginning that several sequences share (the prompt of
    a group) moves to a second store, where it is kept and attended to once.
    """

    def __init__(self, shape: KVShape, budget: int, share_from: int | None) -> None:
        """Start empty.

        Args:
            shape: layout of one cached token.
            budget: bytes that both stores together may take.
            share_from: shortest prompt worth sharing instead of copying; None never shares.
        """
        self.budget = budget
        self.share_from = share_from
        self.tails = KVStore(shape)
        self.prefixes = PrefixStore(shape)
        self.sequences: list[CachedSequence] = []
        self.evictions = 0
        self._sessions: dict[str, CachedSequence] = {}
        self._clock = 0

    # -- finding ---------------------------------------------------------------------------------

    def find(self, tokens: list[int], session: str | None) -> Match:
        """Find where most of `tokens` is cached already; the last token never counts."""
        limit = len(tokens) - 1
        own = self._sessions.get(session) if session is not None else None
        if own is not None and own.use is not Use.RUNNING:
            length = common_length(own.tokens, tokens, min(limit, own.computed))
            if length == own.computed:
                return Match(own, length, continues=True)
        best = Match()
        for sequence in self.sequences:
            reach = min(limit, sequence.computed)
            if reach > best.length:
                length = common_length(sequence.tokens, tokens, reach)
                if length > best.length:
                    best = Match(sequence, length)
        return best

    def find_pending(self, tokens: list[int]) -> Match:
        """Find the running sequence whose prompt, once computed, shares most with `tokens`."""
        best = Match()
        limit = len(tokens) - 1
        for sequence in self.sequences:
            if sequence.use is Use.RUNNING and sequence.computed < len(sequence.tokens) - 1:
                length = common_length(sequence.tokens, tokens, limit)
                if length > best.length:
                    best = Match(sequence, length)
        return best

    def shares_later(self, tokens: list[int], match: Match, pending: Match) -> bool:
        """Whether `pending`, once computed, can be shared where `match` has to be copied."""
        prefix = match.source.prefix if match.source is not None else None
        if prefix is not None:
            shares_now = prefix.length <= match.length
        else:
            shares_now = self._worth_sharing(match.length, len(tokens))
        return not shares_now and self._worth_sharing(pending.length, len(tokens))

    # -- opening and closing ---------------------------------------------------------------------

    def open(
        self, tokens: list[int], session: str | None, match: Match, force: bool
    ) -> CachedSequence | None:
        """Give `tokens` a slot, with the matched beginning in it; None if there is no room.

        `force` goes beyond the budget rather than return None: something must always run.
        """
        source = match.source
        own = source is not None and source.use is not Use.RUNNING
        if source is not None and own and self._may_take_over(source, session, match.length):
            return self._take_over(source, tokens, session, match.length)
        slot = self._free_slot(source, force=force and not own)
        if slot is None:
            if source is None or not own:
                return None
            return self._take_over(source, tokens, session, match.length)
        sequence = CachedSequence(tokens, slot, session)
        self.sequences.append(sequence)
        self._touch(sequence)
        if source is not None:
            self._join_prefix(source, sequence, match.length)
        if not self.reserve(sequence, len(tokens), force, spared=source):
            self.drop(sequence)
            return None
        if source is not None:
            self._copy(source, sequence, match.length)
        return sequence

    def _may_take_over(self, source: CachedSequence, session: str | None, length: int) -> bool:
        """Whether continuing in place loses nothing that somebody may still want."""
        if session is not None and source is self._sessions.get(session):
            return True
        return source.use is Use.RELEASED and length == source.computed

    def _take_over(
        self, source: CachedSequence, tokens: list[int], session: str | None, length: int
    ) -> CachedSequence:
        if source.session is not None and source.session != session:
            self._sessions.pop(source.session, None)
        if source.prefix is not None and length < source.prefix.length:
            self._unshare(source, length)
        source.tokens, source.session, source.computed = tokens, session, length
        source.use = Use.RUNNING
        self._touch(source)
        return source

    def _join_prefix(self, source: CachedSequence, target: CachedSequence, length: int) -> None:
        if source.prefix is None and self._worth_sharing(length, len(target.tokens)):
            self.prefixes.share(source, length, self.tails, self.budget - self.tails.bytes)
            self._join_others(source)
        if source.prefix is not None and source.prefix.length <= length:
            source.prefix.users += 1
            target.prefix = source.prefix

    def _join_others(self, source: CachedSequence) -> None:
        """Let sequences that computed the same beginning by themselves use the new prefix, too.

        Alone they would cost every later step a kernel call of their own.
        """
        prefix = source.prefix
        if prefix is None:
            return
        length = prefix.length
        for other in self.sequences:
            alone = other.prefix is None and other.computed >= length
            if alone and common_length(other.tokens, source.tokens, length) == length:
                self.prefixes.join(other, prefix, self.tails)

    def _copy(self, source: CachedSequence, target: CachedSequence, length: int) -> None:
        """Copy what `target` has in common with `source` beyond their shared prefix, if any."""
        if source.prefix is target.prefix:
            self.tails.copy(self.tails, source.slot, 0, target.slot, length - target.start)
        else:
            assert source.prefix is not None
            self.tails.copy(self.prefixes.store, source.prefix.slot, 0, target.slot, length)
        target.computed = length

    def rest(self, sequence: CachedSequence) -> None:
        """End serving a request; the sequence stays as long as its slot is not needed."""
        session = sequence.session
        sequence.use = Use.RELEASED if session is None else Use.IDLE
        if session is not None:
            other = self._sessions.get(session)
            if other is not None and other is not sequence and other.use is Use.IDLE:
                other.use, other.session = Use.RELEASED, None
            self._sessions[session] = sequence
        self._touch(sequence)

    def release(self, session: str) -> None:
        """Forget a session; what it cached may be overwritten from now on."""
        self._sessions.pop(session, None)
        for sequence in self.sequences:
            if sequence.session == session:
                sequence.session = None
                if sequence.use is Use.IDLE:
                    sequence.use = Use.RELEASED

    def drop(self, sequence: CachedSequence) -> None:
        """Free the slot of a sequence."""
        self.sequences.remove(sequence)
        session = sequence.session
        if session is not None and self._sessions.get(session) is sequence:
            del self._sessions[session]
        self.prefixes.leave(sequence, self.budget)

    def clear(self) -> None:
        """Drop everything; the memory stays allocated."""
        self.sequences.clear()
        self._sessions.clear()
        self.prefixes.clear()

    def free(self) -> None:
        """Drop everything and give the memory back."""
        self.clear()
        self.tails.resize(0, 0)
        self.prefixes.store.resize(0, 0)

    def _touch(self, sequence: CachedSequence) -> None:
        self._clock += 1
        sequence.clock = self._clock

    # -- shared prefixes -------------------------------------------------------------------------

    def _worth_sharing(self, length: int, prompt: int) -> bool:
        # A short common part of two different prompts (a system text) is better copied: sharing it
        # would stand in the way of sharing the longer prompt of each group.
        return (
            self.share_from is not None and length >= self.share_from and 4 * length >= 3 * prompt
        )

    def _unshare(self, sequence: CachedSequence, length: int) -> None:
        """Copy the first tokens of a shared prefix back into the sequence's own slot."""
        assert sequence.prefix is not None
        prefix = sequence.prefix
        sequence.prefix, sequence.computed = None, 0
        self.reserve(sequence, length + 1, force=True)
        self.tails.copy(self.prefixes.store, prefix.slot, 0, sequence.slot, length)
        sequence.prefix = prefix
        self.prefixes.leave(sequence, self.budget)

    # -- room ------------------------------------------------------------------------------------

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
        capacity = max(self.tails.capacity, _FIRST_CAPACITY)
        while capacity < need:
            capacity *= 2
        while len(self.sequences) > self._slots_within(capacity):
            victim = self._oldest((sequence, spared))
            if victim is None:
                if not force:
                    return False
                break
            self.evict(victim)
        slots = min(self.tails.slots, max(self._slots_within(capacity), len(self.sequences)))
        self._resize(slots, capacity)
        return True

    def _slots_within(self, capacity: int) -> int:
        left = max(self.budget - self.prefixes.store.bytes, 0)
        return left // max(self.tails.bytes_of(1, capacity), 1)

    def _resize(self, slots: int, capacity: int) -> None:
        keep = sorted(self.sequences, key=lambda sequence: sequence.slot)
        self.tails.resize(slots, capacity, [sequence.slot for sequence in keep])
        for slot, sequence in enumerate(keep):
            sequence.slot = slot

    def _free_slot(self, source: CachedSequence | None, force: bool) -> int | None:
        """A slot for a new sequence; `source`, which is about to be copied, is not evicted."""
        if len(self.sequences) >= self.tails.slots:
            victim = self._oldest((source,), Use.RELEASED)
            if victim is not None:
                self.drop(victim)
            elif not self._grow() and not self._make_room(source, force):
                return None
        taken = {sequence.slot for sequence in self.sequences}
        return min(set(range(self.tails.slots)) - taken)

    def _grow(self) -> bool:
        capacity = self.tails.capacity or _FIRST_CAPACITY
        most = self._slots_within(capacity)
        if most <= self.tails.slots:
            # Long sequences may have left; with shorter slots more of them fit.
            longest = max((_extent(sequence) for sequence in self.sequences), default=0)
            capacity = _FIRST_CAPACITY
            while capacity < longest:
                capacity *= 2
            most = self._slots_within(capacity) if capacity < self.tails.capacity else 0
        slots = min(max(_FIRST_SLOTS, 2 * self.tails.slots), most)
        if slots <= len(self.sequences):
            return False
        self._resize(slots, capacity)
        return True

    def _make_room(self, source: CachedSequence | None, force: bool) -> bool:
        victim = self._oldest((source,))
        if victim is not None:
            self.evict(victim)
            return True
        if force:
            self._resize(len(self.sequences) + 1, self.tails.capacity or _FIRST_CAPACITY)
        return force

    def _oldest(
        self, spared: tuple[CachedSequence | None, ...], use: Use | None = None
    ) -> CachedSequence | None:
        """The sequence to give up first: released before idle, then the least recently used."""
        victims = [
            sequence
            for sequence in self.sequences
            if sequence not in spared
            and sequence.use is not Use.RUNNING
            and (use is None or sequence.use is use)
        ]
        return min(victims, key=lambda s: (s.use is Use.IDLE, s.clock), default=None)

    def evict(self, victim: CachedSequence) -> None:
        """Drop a sequence for want of memory."""
        self.evictions += 1
        self.drop(victim)


def _extent(sequence: CachedSequence) -> int:
    """Tail positions that a sequence needs."""
    running = sequence.use is Use.RUNNING
    return (len(sequence.tokens) if running else sequence.computed) - sequence.start
