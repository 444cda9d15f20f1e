"""One pooled HTTP client for all search back ends of a process: retries, rates, circuits."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from dataclasses import dataclass
from typing import Self

import httpx

from agentrl.tools.search.failure import DOWN, FailureKind, SearchFailure
from agentrl.tools.search.web.exchange import Request, Response, Service
from agentrl.tools.search.web.limits import Circuit, Clock, Sleep, TokenBucket

TIMEOUT = httpx.Timeout(connect=5.0, read=20.0, write=20.0, pool=60.0)
LIMITS = httpx.Limits(max_connections=256, max_keepalive_connections=64)
PLACES = 64
"""Requests under way at once."""

_DIRECT = ("all://localhost", "all://127.0.0.1", "all://[::1]")
"""Reached without the proxy of the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long and how often a service is asked again.

    Attributes:
        tries: at most.
        seconds: at most, waits and all tries together.
        base: seconds of the first wait; each next one is twice as long, drawn from 0 to that.
        cap: longest wait.
    """

    tries: int = 4
    seconds: float = 60.0
    base: float = 0.5
    cap: float = 30.0


class Gate:
    """The limits of one service.

    Args:
        rate: requests a second.
        clock: in seconds.
        sleep: waits for seconds.
    """

    def __init__(self, rate: float, clock: Clock, sleep: Sleep) -> None:
        self.bucket = TokenBucket(rate, clock, sleep)
        self.circuit = Circuit(clock)

    async def enter(self, backend: str, deadline: float) -> None:
        """Wait until a request may be made.

        Raises:
            SearchFailure: the service is left alone, or a turn comes after the deadline.
        """
        if not self.circuit.admits():
            raise SearchFailure(FailureKind.CIRCUIT, backend)
        if not await self.bucket.take(deadline):
            raise SearchFailure(FailureKind.RATE_LIMIT, backend)

    def record(self, failure: SearchFailure | None) -> None:
        """Take note of what came of a request."""
        self.circuit.record(works=failure is None or failure.kind not in DOWN)
        if failure is not None and failure.retry and failure.wait:
            self.bucket.hold(failure.wait)


class WebClient:
    """Sends requests of back ends; belongs to one event loop.

    Args:
        policy: of retries.
        transport: in place of the network.
        clock: in seconds.
        sleep: waits for seconds.
        seed: of the waits; by default they differ between processes, as they should.
    """

    def __init__(
        self,
        *,
        policy: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        seed: int | None = None,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self._clock, self._sleep = clock, sleep
        self._random = random.Random(seed)
        self._gates: dict[str, Gate] = {}
        self._places = asyncio.Semaphore(PLACES)
        logging.getLogger("httpx").addFilter(_without_parameters)
        self._http = httpx.AsyncClient(
            headers={"Accept": "application/json"},
            timeout=TIMEOUT,
            limits=LIMITS,
            transport=transport,
            mounts=dict.fromkeys(_DIRECT) if transport is None else None,
        )

    async def send(self, service: Service, request: Request) -> Response:
        """Return the answer of a service, asked again where that can help.

        Raises:
            SearchFailure: there is none within the tries and the time of the policy.
            ConfigError: the key is not set.
        """
        gate = self._gates.get(service.name)
        if gate is None:
            gate = self._gates[service.name] = Gate(service.rate, self._clock, self._sleep)
        deadline = self._clock() + self.policy.seconds
        for attempt in itertools.count(1):
            await gate.enter(service.name, deadline)
            try:
                response = await self._once(service, request, deadline - self._clock())
            except SearchFailure as failure:
                gate.record(failure)
                pause = self._pause(failure, attempt, deadline)
                if pause is None:
                    raise
            else:
                gate.record(None)
                return response
            await self._sleep(pause)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _once(self, service: Service, request: Request, seconds: float) -> Response:
        """Send a request once.  Causes are dropped: what they quote may hold the key."""
        secret = service.credentials()
        try:
            async with asyncio.timeout(seconds), self._places:
                answer = await self._http.request(
                    request.method,
                    request.url,
                    params={**request.params, **secret.params} or None,
                    headers=dict(secret.headers),
                    json=request.body,
                )
        except (httpx.TimeoutException, TimeoutError):
            raise SearchFailure(FailureKind.TIMEOUT, service.name) from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            raise SearchFailure(FailureKind.CONFIG, service.name) from None
        except httpx.HTTPError:
            raise SearchFailure(FailureKind.CONNECT, service.name) from None
        headers = {name.lower(): value for name, value in answer.headers.items()}
        response = Response(status=answer.status_code, headers=headers, text=answer.text)
        if failure := service.failure(response):
            raise failure
        return response

    def _pause(self, failure: SearchFailure, attempt: int, deadline: float) -> float | None:
        """Return how long to wait before the next try; None if there is none."""
        longest = min(self.policy.cap, self.policy.base * 2 ** (attempt - 1))
        pause = max(self._random.uniform(0.0, longest), failure.wait or 0.0)
        last = attempt >= self.policy.tries or self._clock() + pause >= deadline
        return None if last or not failure.retry else pause


def _without_parameters(record: logging.LogRecord) -> bool:
    """Cut the parameters, which may hold a key, from addresses that httpx logs."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            argument.copy_with(query=None) if isinstance(argument, httpx.URL) else argument
            for argument in record.args
        )
    return True
