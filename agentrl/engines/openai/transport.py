"""Requests to one server: at most so many at once, tried again while that may help."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from agentrl.engines.openai.failure import FailureKind, ServerFailure, failure_of
from agentrl.engines.openai.server import Server
from agentrl.engines.openai.usage import Usage
from agentrl.errors import EngineError

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds: a wait is drawn evenly below a bound that doubles from the first to the longest."""
LONGEST_ORDERED_WAIT = 60.0
"""A `Retry-After` beyond this ends the call."""
_HIDDEN = "[key]"
_CLOSED = "The client of the server was closed."


class Transport:
    """Sends JSON and gets JSON.

    Args:
        server: who is asked.
        sleep: waits between tries.
        chance: draws a number in [0, 1) for the length of a wait.

    Attributes:
        usage: counters; whoever reads the answers counts all but the retries.
    """

    def __init__(
        self,
        server: Server,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.server = server
        self.usage = Usage()
        self._sleep, self._chance = sleep, chance
        self._gate = asyncio.Semaphore(server.concurrency)
        self._closed = False
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(server.timeout, connect=min(10.0, server.timeout)),
            limits=httpx.Limits(
                max_connections=server.concurrency, max_keepalive_connections=server.concurrency
            ),
            trust_env=not server.local,
        )

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object that the server answers with.

        Args:
            method: `GET` or `POST`.
            path: below the server's URL.
            body: sent as JSON.

        Raises:
            ServerFailure: there is none after all tries, or within the deadline.
            EngineError: the transport was closed.
        """
        if self._closed:
            raise EngineError(_CLOSED)
        url = f"{self.server.url.rstrip('/')}/{path}"
        last: list[ServerFailure] = []
        try:
            async with asyncio.timeout(self.server.deadline):
                return await self._tries(method, url, body, last)
        except TimeoutError:
            reason = f"; the last try: {last[-1]}" if last else ""
            raise ServerFailure(
                f"{url} gave no answer within {self.server.deadline:g} s{reason}",
                FailureKind.TIMEOUT,
            ) from None

    async def _tries(
        self, method: str, url: str, body: Mapping[str, Any] | None, last: list[ServerFailure]
    ) -> dict[str, Any]:
        for number in range(1, self.server.tries + 1):
            try:
                async with self._gate, asyncio.timeout(self.server.timeout):
                    return await self._once(method, url, body)
            except TimeoutError:
                failure = ServerFailure(
                    f"no answer within {self.server.timeout:g} s", FailureKind.TIMEOUT
                )
            except ServerFailure as error:
                failure = error
            last.append(failure)
            ordered = failure.retry_after or 0.0
            if not failure.kind.passing or ordered > LONGEST_ORDERED_WAIT:
                break
            if number < self.server.tries:
                self.usage.retries += 1
                bound = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (number - 1))
                await self._sleep(ordered + self._chance() * bound)
        raise _final(url, last, self.server)

    async def _once(self, method: str, url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        key = self.server.key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            answer = await self._client.request(method, url, json=body, headers=headers)
        except httpx.TimeoutException as error:
            raise ServerFailure(type(error).__name__, FailureKind.TIMEOUT) from None
        except httpx.RequestError as error:
            text = _without(key, f"{type(error).__name__}: {error}")
            raise ServerFailure(text, FailureKind.CONNECTION) from None
        except UnicodeEncodeError:
            text = "the request holds half of a surrogate pair, which no server can be sent"
            raise ServerFailure(text, FailureKind.REQUEST) from None
        except RuntimeError:
            if self._closed:
                raise EngineError(_CLOSED) from None
            raise
        if not answer.is_success:
            text = _without(key, answer.text)
            raise failure_of(answer.status_code, answer.headers, text, _json(text))
        data = _json(answer.text)
        if not isinstance(data, dict):
            shown = _without(key, answer.text)[:100]
            raise ServerFailure(f"the answer is no JSON object: {shown!r}", FailureKind.REPLY)
        return data

    async def close(self) -> None:
        """Close all connections; running requests fail."""
        self._closed = True
        await self._client.aclose()


def _without(key: str, text: str) -> str:
    """Return an error's text without the key, which servers like to repeat."""
    return text.replace(key, _HIDDEN) if key else text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _final(url: str, failures: list[ServerFailure], server: Server) -> ServerFailure:
    """Put what went wrong in one sentence, with what can be done about it."""
    failure = failures[-1]
    tries = f" after {len(failures)} tries" if len(failures) > 1 else ""
    text = f"{url} gave no answer{tries}: {failure}"
    if failure.kind is FailureKind.KEY:
        name = server.key_variable or "the variable named by `key_variable`"
        text += f". Put the server's key into the environment variable {name}."
    if (failure.retry_after or 0.0) > LONGEST_ORDERED_WAIT:
        text += f". It asks to wait {failure.retry_after:.0f} s."
    return ServerFailure(text, failure.kind, failure.retry_after)
