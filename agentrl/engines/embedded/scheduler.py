"""Chooses what runs in the next step: admission, prefill budget, preemption."""

from __future__ import annotations

from agentrl.engines.base import EngineStats
from agentrl.engines.embedded.cache import Match, SequenceCache
from agentrl.engines.embedded.layout import Work
from agentrl.engines.embedded.request import Request
from agentrl.engines.embedded.sequence import Use

_WORTH_WAITING = 32
"""Tokens; a step is lost by waiting until another request has computed what this one needs."""


class Scheduler:
    """Requests that wait and requests that run, over one cache."""

    def __init__(self, cache: SequenceCache, max_batch_tokens: int, stats: EngineStats) -> None:
        self.cache = cache
        self.waiting: list[Request] = []
        self.running: dict[Request, None] = {}
        self._budget = max_batch_tokens
        self._stats = stats

    def choose(self) -> list[tuple[Request, Work]]:
        """Admit what fits and return the next step's work; empty if nothing is to be done."""
        self._admit()
        chosen: list[tuple[Request, Work]] = []
        left = self._budget
        for request, (sequence, missing) in self._in_order():
            if left <= 0 and chosen:
                break
            if request.sequence is None:  # preempted to make room for one chosen before it
                continue
            count = min(missing, max(left, 1))
            if self._make_room(request, sequence.computed + count):
                chosen.append((request, (sequence, count)))
                left -= count
        return [item for item in chosen if item[0].sequence is item[1][0]]

    def _in_order(self) -> list[tuple[Request, Work]]:
        """The running requests and what they lack, those that lack one token first.

        Each of these costs little and keeps its caller moving.
        """
        decoding: list[tuple[Request, Work]] = []
        prefilling: list[tuple[Request, Work]] = []
        for request in self.running:
            sequence = request.sequence
            assert sequence is not None
            missing = len(sequence.tokens) - sequence.computed
            (decoding if missing == 1 else prefilling).append((request, (sequence, missing)))
        return decoding + prefilling

    def submit(self, request: Request) -> None:
        """Let a request wait for its turn."""
        request.wants = self.cache.want(request.tokens)
        self.waiting.append(request)

    def finish(self, request: Request) -> None:
        """Take a request out; what it cached stays for its session."""
        request.stop_wanting()
        if request.sequence is not None:
            self.cache.rest(request.sequence)
            request.sequence = None
            del self.running[request]
        elif request in self.waiting:
            self.waiting.remove(request)

    def restart(self) -> None:
        """Drop every cached key and value; running requests compute their tokens anew."""
        self.waiting = self.drain() + self.waiting
        for request in self.waiting:
            request.waits_for = None

    def drain(self) -> list[Request]:
        """Drop the cache and remove and return the running requests."""
        requests = list(self.running)
        self.running.clear()
        for request in requests:
            request.lose_place()
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
            request.stop_wanting()
            request.sequence = sequence
            self.running[request] = None
            self._count(request, sequence.computed)
        self.waiting = blocked

    def _count(self, request: Request, found: int) -> None:
        """Count what a request finds in the cache, at first or after it had lost its place."""
        if request.cached is None:
            request.cached = found
            self._stats.requested_tokens += request.prompt
            self._stats.prompt_tokens += request.prompt
        self._stats.cached_tokens += max(found - request.reached, 0)
        self._stats.recomputed_tokens += max(request.reached - found, 0)

    def _sibling_busy(self, request: Request) -> bool:
        if request.waits_for is None:
            return False
        sibling, length = request.waits_for
        if sibling.use is Use.RUNNING and sibling.computed < length:
            return True
        request.waits_for = None
        return False

    def _wait_for_sibling(self, request: Request, match: Match) -> bool:
        """Whether a running request is about to compute much of what this one needs."""
        rest = len(request.tokens) - 1
        if match.continues or match.length == rest:
            return False
        pending = self.cache.find_pending(request.tokens)
        if pending.source is None:
            return False
        gain = pending.length - match.length
        much = gain >= min(_WORTH_WAITING, len(request.tokens) // 2)
        twin = pending.length == rest  # then nothing but the last token will be left to compute
        if not (much or twin or self.cache.shares_later(request.tokens, match, pending)):
            return False
        request.waits_for = (pending.source, pending.length)
        return True

    def _make_room(self, request: Request, length: int) -> bool:
        """Reserve memory for a running request, preempting younger ones if need be."""
        sequence = request.sequence
        assert sequence is not None
        while not self.cache.memory.reserve(sequence, length, force=len(self.running) == 1):
            youngest = next(reversed(self.running))
            self._preempt(youngest)
            if youngest is request:
                return False
        return True

    def _preempt(self, request: Request) -> None:
        sequence = request.sequence
        assert sequence is not None
        request.lose_place()
        self.cache.memory.evict(sequence)
        del self.running[request]
        self.waiting.insert(0, request)
