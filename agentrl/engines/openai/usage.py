"""What has been asked of a server so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrl.engines.openai.server import Prices


@dataclass(slots=True)
class Usage:
    """Counters since the client was made.

    Attributes:
        requests: calls that were answered.
        failures: calls that were given up.
        retries: tries beyond the first of each call.
        prompt_tokens: as the server counts them.
        cached_tokens: prompt tokens that it found in its cache.
        completion_tokens: sampled, reasoning included.
        seconds: from first try to answer, of all calls together.
    """

    requests: int = 0
    failures: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def add(self, spent: Spent, seconds: float) -> None:
        """Count one answered call."""
        self.requests += 1
        self.prompt_tokens += spent.prompt_tokens
        self.cached_tokens += spent.cached_tokens
        self.completion_tokens += spent.completion_tokens
        self.seconds += seconds

    def cost(self, prices: Prices | None) -> float | None:
        """Return what the tokens cost; None without prices."""
        if prices is None:
            return None
        cached_price = prices.prompt if prices.cached is None else prices.cached
        fresh = self.prompt_tokens - self.cached_tokens
        total = fresh * prices.prompt + self.cached_tokens * cached_price
        return (total + self.completion_tokens * prices.completion) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Tokens of one call, as the server counts them; 0 where it does not say."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


def spent_of(data: Mapping[str, Any]) -> Spent:
    """Read the tokens of an answer."""
    usage = data.get("usage")
    if not isinstance(usage, Mapping):
        return Spent()
    details = usage.get("prompt_tokens_details")
    return Spent(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0,
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
