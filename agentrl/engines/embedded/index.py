"""Finds the sequences that begin like a prompt, without comparing it with each of them.

A radix tree.  Its inner nodes are *forks*: beginnings after which sequences part.  What lies
between two forks is not stored but read off any sequence below, and a sequence that has parted from
all others is a leaf: it may grow by any number of tokens without the tree being touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agentrl.engines.embedded.sequence import CachedSequence, common_length


@dataclass(slots=True, eq=False)
class _Fork:
    """A beginning after which sequences part, or at which all but one of them end.

    Attributes:
        tokens: any list that starts with this beginning.
        end: length of the beginning.
        above: the fork before it; None where the beginning is empty.
        below: what goes on, by its next token.
        ended: the sequences that do not go on, in the order in which they came.
    """

    tokens: list[int]
    end: int
    above: _Fork | None = None
    below: dict[int, _Fork | CachedSequence] = field(default_factory=dict)
    ended: dict[CachedSequence, None] = field(default_factory=dict)


class PrefixIndex:
    """Sequences by their first tokens.

    Args:
        length: how many tokens of a sequence count; it may grow, see `grew`, but not shrink.
    """

    def __init__(self, length: Callable[[CachedSequence], int]) -> None:
        self._length = length
        self._root = _Fork([], 0)
        self._above: dict[CachedSequence, _Fork] = {}

    def add(self, sequence: CachedSequence) -> None:
        """Take in a sequence that is not here yet."""
        self._place(sequence, self._root)

    def discard(self, sequence: CachedSequence) -> None:
        """Take out a sequence, if it is here."""
        fork = self._above.pop(sequence, None)
        if fork is None:
            return
        if sequence in fork.ended:
            del fork.ended[sequence]
        else:
            del fork.below[sequence.tokens[fork.end]]
        self._tidy(fork)

    def grew(self, sequence: CachedSequence) -> None:
        """Take note that more tokens of a sequence count than before."""
        fork = self._above[sequence]
        if sequence in fork.ended:
            del fork.ended[sequence]
            self._place(sequence, fork)
            self._tidy(fork)

    def clear(self) -> None:
        """Take out everything."""
        self._root = _Fork([], 0)
        self._above.clear()

    def longest(self, tokens: list[int], limit: int) -> tuple[CachedSequence | None, int]:
        """Return a sequence that shares most of `tokens[:limit]`, and how many tokens those are.

        Of several, one that goes no further comes first.
        """
        below, length = self._descend(tokens, limit)
        return (next(self._sequences(below)) if length else None), length

    def beginning_with(self, tokens: list[int], length: int) -> Iterator[CachedSequence]:
        """Yield the sequences that share all of `tokens[:length]`."""
        below, found = self._descend(tokens, length)
        return self._sequences(below) if found == length else iter(())

    def _descend(self, tokens: list[int], limit: int) -> tuple[_Fork | CachedSequence, int]:
        """Return the part of the tree that shares most of `tokens[:limit]`, and how many tokens."""
        fork = self._root
        while fork.end < limit:
            child = fork.below.get(tokens[fork.end])
            if child is None:
                break
            end = self._end(child)
            same = common_length(child.tokens, tokens, min(end, limit), fork.end)
            if same < end or isinstance(child, CachedSequence):
                return child, same
            fork = child
        return fork, fork.end

    def _sequences(self, part: _Fork | CachedSequence) -> Iterator[CachedSequence]:
        stack = [part]
        while stack:
            part = stack.pop()
            if isinstance(part, CachedSequence):
                yield part
            else:
                yield from part.ended
                stack += reversed(part.below.values())

    def _end(self, part: _Fork | CachedSequence) -> int:
        return self._length(part) if isinstance(part, CachedSequence) else part.end

    def _place(self, sequence: CachedSequence, fork: _Fork) -> None:
        """Put a sequence, which shares the beginning of `fork`, somewhere below it."""
        tokens, length = sequence.tokens, self._length(sequence)
        while fork.end < length:
            child = fork.below.get(tokens[fork.end])
            if child is None:
                fork.below[tokens[fork.end]] = sequence
                break
            end = self._end(child)
            same = common_length(child.tokens, tokens, min(end, length), fork.end)
            if same < end or isinstance(child, CachedSequence):
                child = self._split(fork, child, same)
            fork = child
        else:
            fork.ended[sequence] = None
        self._above[sequence] = fork

    def _split(self, above: _Fork, child: _Fork | CachedSequence, end: int) -> _Fork:
        """Put a fork at position `end` between `above` and its `child`."""
        fork = _Fork(child.tokens, end, above)
        above.below[child.tokens[above.end]] = fork
        if isinstance(child, CachedSequence) and self._length(child) == end:
            fork.ended[child] = None
            self._above[child] = fork
        else:
            self._hang(child, fork)
        return fork

    def _hang(self, child: _Fork | CachedSequence, fork: _Fork) -> None:
        fork.below[child.tokens[fork.end]] = child
        if isinstance(child, CachedSequence):
            self._above[child] = fork
        else:
            child.above = fork

    def _tidy(self, fork: _Fork) -> None:
        """Take out a fork where nothing parts any more."""
        if fork.above is not None and len(fork.below) + len(fork.ended) == 1:
            for only in (*fork.below.values(), *fork.ended):
                self._hang(only, fork.above)
