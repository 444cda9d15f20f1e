"""Chooses what runs in the next step: admission, prefill budget, preemption."""

from __future__ import annotations

from agentrl.engines.base import EngineStats
from agentrl.engines.embedded.cache import Match, SequenceCache
from agentrl.engines.embedded.layout import Work
from agentrl.engines.embedded.request import Request
from agentrl.engines.embedded.sequence import CachedSequence

_WORTH_WAITING = 32


class Scheduler:
    """Requests that wait and requests that run, over one cache."""

    def __init__(self, cache: SequenceCache, max_batch_tokens: int, stats: EngineStats) -> None:
        self.cache = cache
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self._budget = max_batch_tokens
        self._stats = stats

    def choose(self) -> list[tuple[Request, Work]]:
        """Admit what fits and return the next step's work; empty if nothing is to be done."""
        self._admit()
        chosen: list[tuple[Request, Work]] = []
        left = self._budget
        # Decoding requests come first: each costs one token and keeps its caller moving.
        for decoding in (True, False):
            for request in list(self.running):
                sequence = request.sequence
                if sequence is None:  # preempted to make room for one chosen before it
                    continue
                rest = len(sequence.tokens) - sequence.computed
                if (rest == 1) != decoding or (left <= 0 and chosen):
                    continue
                count = min(rest, max(left, 1))
                if self._make_room(request, sequence.computed + count):
                    chosen.append((request, (sequence, count)))
                    left -= count
        return [item for item in chosen if item[0].sequence is item[1][0]]

    def finish(self, request: Request) -> None:
        """Take a request out; what it cached stays for its session."""
        if request.sequence is not None:
            self.cache.rest(request.sequence)
            request.sequence = None
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)

    def restart(self) -> None:
        """Drop every cached key and value; running requests compute their tokens anew."""
        for request in self.running:
            request.sequence = None
        self.waiting = self.running + self.waiting
        self.running = []
        for request in self.waiting:
            request.waits_for = None
        self.cache.clear()

    def drain(self) -> list[Request]:
        """Drop the cache and remove and return the running requests."""
        requests, self.running = self.running, []
        for request in requests:
            request.sequence = None
        self.cache.clear()
        return requests

    def _admit(self) -> None:
        blocked: list[Request] = []
        queue, self.waiting = self.waiting, []
        for number, request in enumerate(queue):
            if self._sibling_busy(request):
                blocked.append(request)
                continue
            match = self.cache.find(request.tokens, request.session)
            if self._wait_for_sibling(request, match):
                blocked.append(request)
                continue
            sequence = self.cache.open(
                request.tokens, request.session, match, force=not self.running
            )
            if sequence is None:
                blocked += queue[number:]
                break
            request.sequence = sequence
            self.running.append(request)
            self._count(request, sequence)
        self.waiting = blocked

    def _count(self, request: Request, sequence: CachedSequence) -> None:
        if request.cached is None:
            request.cached = sequence.computed
            self._stats.prompt_tokens += request.prompt
            self._stats.cached_tokens += sequence.computed

    def _sibling_busy(self, request: Request) -> bool:
        if request.waits_for is None:
            return False
        sibling, length = request.waits_for
        if sibling.computed < length and any(r.sequence is sibling for r in self.running):
            return True
        request.waits_for = None
        return False

    def _wait_for_sibling(self, request: Request, match: Match) -> bool:
        """Whether a running request is about to compute much of what this one needs."""
        if match.continues or match.length == len(request.tokens) - 1:
            return False
        pending = self.cache.find_pending(request.tokens)
        gain = pending.length - match.length
        much = gain >= min(_WORTH_WAITING, len(request.tokens) // 2)
        if pending.source is None or not (
            much or self.cache.shares_later(request.tokens, match, pending)
        ):
            return False
        request.waits_for = (pending.source, pending.length)
        return True

    def _make_room(self, request: Request, length: int) -> bool:
        """Reserve memory for a running request, preempting younger ones if need be."""
        sequence = request.sequence
        assert sequence is not None
        while not self.cache.reserve(sequence, length, force=len(self.running) == 1):
            youngest = self.running[-1]
            self._preempt(youngest)
            if youngest is request:
                return False
        return True

    def _preempt(self, request: Request) -> None:
        assert request.sequence is not None
        self.cache.evict(request.sequence)
        request.sequence = None
        self.running.remove(request)
        self.waiting.insert(0, request)
