"""Which sequence serves which prompt: continuing, forking, sharing and keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentrl.engines.embedded.index import PrefixIndex
from agentrl.engines.embedded.memory import Memory
from agentrl.engines.embedded.sequence import CachedSequence, Session, Use, common_length
from agentrl.engines.embedded.store import KVShape


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
    """Sequences under a memory budget.

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
        self.share_from = share_from
        self.memory = Memory(shape, budget, self.drop)
        self.tails = self.memory.tails
        self.prefixes = self.memory.prefixes
        self._computed = PrefixIndex(lambda sequence: sequence.computed)
        self._pending = PrefixIndex(lambda sequence: len(sequence.tokens))
        self._sessions: dict[str, Session] = {}

    # -- finding ---------------------------------------------------------------------------------

    def find(self, tokens: list[int], session: str | None) -> Match:
        """Find where most of `tokens` is cached already; the last token never counts.

        The session's own sequence comes first where it continues, or shares as much as any other.
        """
        limit = len(tokens) - 1
        own = self._own(session)
        shared = 0
        if own is not None:
            shared = common_length(own.tokens, tokens, min(limit, own.computed))
            if shared == own.computed:
                return Match(own, shared, continues=True)
        source, length = self._computed.longest(tokens, limit)
        return Match(own if 0 < length == shared else source, length)

    def find_pending(self, tokens: list[int]) -> Match:
        """Find the running sequence whose prompt, once computed, shares most with `tokens`."""
        return Match(*self._pending.longest(tokens, len(tokens) - 1))

    def shares_later(self, tokens: list[int], match: Match, pending: Match) -> bool:
        """Whether `pending`, once computed, can be shared where `match` has to be copied."""
        prefix = match.source.prefix if match.source is not None else None
        if prefix is not None:
            shares_now = prefix.length <= match.length
        else:
            shares_now = self._worth_sharing(match.length, len(tokens))
        return not shares_now and self._worth_sharing(pending.length, len(tokens))

    def want(self, tokens: list[int]) -> CachedSequence | None:
        """Return what `tokens` will start from; it is kept until then, if there is room."""
        source, _ = self._computed.longest(tokens, len(tokens) - 1)
        if source is not None:
            source.wanted += 1
            self.memory.resting.refresh(source)
        return source

    def _own(self, session: str | None) -> CachedSequence | None:
        """The sequence that a session may take over."""
        known = self._sessions.get(session) if session is not None else None
        own = known.latest if known is not None else None
        return own if own is not None and own.use is not Use.RUNNING else None

    # -- opening and closing ---------------------------------------------------------------------

    def open(
        self, tokens: list[int], session: str | None, match: Match, force: bool
    ) -> CachedSequence | None:
        """Give `tokens` a slot, with the matched beginning in it; None if there is no room.

        `force` goes beyond the budget rather than return None: something must always run.
        """
        source, length = match.source, match.length
        rests = source is not None and source.use is not Use.RUNNING
        if source is not None and rests and self._may_take_over(source, session, length):
            return self._take_over(source, tokens, session, length)
        sequence = self.memory.enter(tokens, source, force=force and not rests)
        if sequence is None:
            if source is None or not rests:
                return None
            return self._take_over(source, tokens, session, length)
        if source is not None:
            self._join_prefix(source, sequence, length)
        if not self.memory.reserve(sequence, len(tokens), force, spared=source):
            self.memory.leave(sequence)
            return None
        if source is not None:
            self._copy(source, sequence, length)
        self._run(sequence, session)
        return sequence

    def _may_take_over(self, source: CachedSequence, session: str | None, length: int) -> bool:
        """Whether continuing in place loses nothing that somebody may still want."""
        if source is self._own(session):
            return True
        return source.use is Use.RELEASED and length == source.computed

    def _take_over(
        self, source: CachedSequence, tokens: list[int], session: str | None, length: int
    ) -> CachedSequence:
        self.memory.resting.discard(source)
        self._computed.discard(source)
        if source.session is not None and source.session.latest is source:
            source.session.latest = None
        source.use = Use.RUNNING
        source.computed = min(length, source.computed)
        if source.prefix is not None and length < source.prefix.length:
            self._unshare(source)
        source.tokens = tokens
        self._run(source, session)
        return source

    def _run(self, sequence: CachedSequence, session: str | None) -> None:
        """Take note of a sequence that is now being served."""
        sequence.session = None
        if session is not None:
            sequence.session = self._sessions.setdefault(session, Session())
        self._computed.add(sequence)
        if sequence.computed < len(sequence.tokens) - 1:
            self._pending.add(sequence)

    def advance(self, work: Sequence[tuple[CachedSequence, int]]) -> None:
        """Take note that the next so many tokens of some running sequences are computed."""
        for sequence, count in work:
            sequence.computed += count
            self._computed.grew(sequence)
            if sequence.computed >= len(sequence.tokens) - 1:
                self._pending.discard(sequence)

    def rest(self, sequence: CachedSequence) -> None:
        """End serving a request; the sequence stays as long as its slot is not needed."""
        self._pending.discard(sequence)
        session = sequence.session
        if session is None or session.released:
            sequence.session = None
            self.memory.resting.add(sequence, Use.RELEASED)
            return
        former, session.latest = session.latest, sequence
        if former is not None and former is not sequence and former.use is Use.IDLE:
            former.session = None
            self.memory.resting.add(former, Use.RELEASED)
        self.memory.resting.add(sequence, Use.IDLE)

    def release(self, session: str) -> None:
        """Forget a session; what it cached may be overwritten from now on."""
        known = self._sessions.pop(session, None)
        if known is None:
            return
        known.released = True
        if known.latest is not None and known.latest.use is Use.IDLE:
            known.latest.session = None
            self.memory.resting.add(known.latest, Use.RELEASED)

    def drop(self, sequence: CachedSequence) -> None:
        """Forget a sequence."""
        self._computed.discard(sequence)
        self._pending.discard(sequence)
        if sequence.session is not None and sequence.session.latest is sequence:
            sequence.session.latest = None
        self.memory.leave(sequence)

    def clear(self) -> None:
        """Drop everything; the memory stays allocated."""
        self._computed.clear()
        self._pending.clear()
        self._sessions.clear()
        self.memory.clear()

    def free(self) -> None:
        """Drop everything and give the memory back."""
        self.clear()
        self.memory.free()

    # -- shared prefixes -------------------------------------------------------------------------

    def _join_prefix(self, source: CachedSequence, target: CachedSequence, length: int) -> None:
        if source.prefix is None and self._worth_sharing(length, len(target.tokens)):
            self.prefixes.share(source, length, self.tails, self.memory.budget - self.tails.bytes)
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
        for other in self._computed.beginning_with(source.tokens, prefix.length):
            if other.prefix is None:
                self.prefixes.join(other, prefix, self.tails)

    def _copy(self, source: CachedSequence, target: CachedSequence, length: int) -> None:
        """Copy what `target` has in common with `source` beyond their shared prefix, if any."""
        if source.prefix is target.prefix:
            self.tails.copy(self.tails, source.slot, 0, target.slot, length - target.start)
        else:
            assert source.prefix is not None
            self.tails.copy(self.prefixes.store, source.prefix.slot, 0, target.slot, length)
        target.computed = length

    def _worth_sharing(self, length: int, prompt: int) -> bool:
        # A short common part of two different prompts (a system text) is better copied: sharing it
        # would stand in the way of sharing the longer prompt of each group.
        return (
            self.share_from is not None and length >= self.share_from and 4 * length >= 3 * prompt
        )

    def _unshare(self, sequence: CachedSequence) -> None:
        """Copy what is left of a shared prefix back into the sequence's own slot."""
        length, prefix = sequence.computed, sequence.prefix
        assert prefix is not None
        sequence.computed, sequence.prefix = 0, None
        if self.memory.reserve(sequence, length, force=False):
            self.tails.copy(self.prefixes.store, prefix.slot, 0, sequence.slot, length)
            sequence.computed = length
        sequence.prefix = prefix
        self.prefixes.leave(sequence, self.memory.budget)
