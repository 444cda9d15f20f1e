"""What the cache holds: token sequences, and prompts that several of them share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_CHUNK = 64


class Use(Enum):
    """Who needs a cached sequence."""

    RUNNING = "running"
    """A request is being served from it."""
    IDLE = "idle"
    """Its session may come back."""
    RELEASED = "released"
    """Nobody asked to keep it; it may still serve a request with the same beginning."""
    DROPPED = "dropped"
    """It has no slot any more."""


@dataclass(slots=True, eq=False)
class Prefix:
    """The common beginning of several sequences, stored once.

    Attributes:
        slot: its slot in the prefix store.
        length: its tokens.
        users: sequences that refer to it.
    """

    slot: int
    length: int
    users: int = 0


@dataclass(slots=True, eq=False)
class Session:
    """A conversation that callers name.

    Attributes:
        latest: the sequence that its newest finished call left; None if that was dropped.
        released: whether the caller will not come back.
    """

    latest: CachedSequence | None = None
    released: bool = False


@dataclass(slots=True, eq=False)
class CachedSequence:
    """One token sequence; the tokens are the truth, the cached keys and values follow them.

    Attributes:
        tokens: all its token ids; the newest may not be computed yet.
        slot: its slot in the tail store.
        session: the conversation it belongs to, if any.
        computed: how many of `tokens` have keys and values.
        prefix: where the first `start` tokens are, if shared.
        use: who needs it.
        wanted: how many waiting requests are going to start from it.
    """

    tokens: list[int]
    slot: int
    session: Session | None = None
    computed: int = 0
    prefix: Prefix | None = None
    use: Use = Use.RUNNING
    wanted: int = 0

    @property
    def start(self) -> int:
        """Position of the first token held in the tail slot."""
        return self.prefix.length if self.prefix else 0


def common_length(left: list[int], right: list[int], limit: int, begin: int = 0) -> int:
    """Length of the longest common prefix of two lists, at most `limit`.

    The first `begin` tokens are known to be equal.
    """
    limit = min(limit, len(left), len(right))
    at = begin
    while at < limit and left[at : at + _CHUNK] == right[at : at + _CHUNK]:
        at += _CHUNK
    end = min(at + _CHUNK, limit)
    while at < end and left[at] == right[at]:
        at += 1
    return min(at, limit)
