"""How often a service is asked, and when it is left alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class TokenBucket:
    """Lets `rate` requests a second through, and as many at once after a rest.

    Args:
        rate: per second.
        clock: in seconds.
        sleep: waits for seconds.
    """

    def __init__(self, rate: float, clock: Clock, sleep: Sleep) -> None:
        self._gap = 1.0 / rate
        self._rest = max(0.0, 1.0 - self._gap)
        self._clock, self._sleep = clock, sleep
        self._next = clock() - self._rest

    async def take(self, deadline: float) -> bool:
        """Wait for a turn; False, at once, if it would come after the deadline."""
        now = self._clock()
        turn = max(self._next, now - self._rest)
        if turn > deadline:
            return False
        self._next = turn + self._gap
        if turn > now:
            await self._sleep(turn - now)
        return True

    def hold(self, seconds: float) -> None:
        """Let nothing more through for a while, because the service asked for it."""
        self._next = max(self._next, self._clock() + seconds)


class Circuit:
    """Opens after several failures in a row: then nobody asks for a while, and one tries first.

    Args:
        clock: in seconds.
        failures: in a row that open it.
        seconds: for which it stays open.
    """

    def __init__(self, clock: Clock, failures: int = 5, seconds: float = 30.0) -> None:
        self._clock = clock
        self._limit, self._seconds = failures, seconds
        self._failures = 0
        self._next_try = 0.0

    def admits(self) -> bool:
        """Return whether a request may be made; when the time is over, the first one may."""
        if self._failures < self._limit:
            return True
        now = self._clock()
        if now < self._next_try:
            return False
        self._next_try = now + self._seconds
        return True

    def record(self, works: bool) -> None:
        """Count what came of a request."""
        self._failures = 0 if works else self._failures + 1
        if self._failures >= self._limit:
            self._next_try = self._clock() + self._seconds
