"""Web services that answer as a test says, over the real client and without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from agentrl.tools.search.web.http import WebClient

KEYS = ("SERPER_API_KEY", "BRAVE_API_KEY", "TAVILY_API_KEY", "SERPAPI_API_KEY")
KEY = "KEY-not-to-be-seen-4711"


class Time:
    """A clock that only sleeping moves; it notes every sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Service:
    """Gives the answers in order, the last one for ever; keeps the requests."""

    def __init__(self, answers: Sequence[httpx.Response | Exception]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def client_of(
    handler: Callable[[httpx.Request], httpx.Response], time: Time | None = None, **options: Any
) -> WebClient:
    time = time or Time()
    transport = httpx.MockTransport(handler)
    return WebClient(transport=transport, clock=time, sleep=time.sleep, seed=0, **options)
