"""One call of `generate` on its way through the engine."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from agentrl.engines.base import Completion, SamplingParams, StopKind
from agentrl.engines.embedded.sequence import CachedSequence
from agentrl.engines.embedded.stopping import StopStrings


@dataclass(slots=True, eq=False)
class Request:
    """A prompt and what has been sampled for it.

    Attributes:
        tokens: prompt and sampled tokens; the cached sequence shares this list.
        prompt: length of the prompt.
        params: how to sample.
        seed: of this request's noise.
        session: the caller's conversation, if named.
        limit: most tokens to sample, given the context length.
        future: where the completion goes.
        watch: looks for stop strings, if any were asked for.
        sequence: its place in the cache while it runs.
        wants: the cached sequence that it is going to start from, while it waits.
        waits_for: a running sequence that is computing tokens this one shares, and how many.
        cached: prompt tokens that did not have to be computed; None before it first ran.
        reached: tokens that had keys and values when it last lost its place in the cache.
    """

    tokens: list[int]
    prompt: int
    params: SamplingParams
    seed: int
    session: str | None
    limit: int
    future: asyncio.Future[Completion]
    watch: StopStrings | None = None
    sequence: CachedSequence | None = None
    wants: CachedSequence | None = None
    waits_for: tuple[CachedSequence, int] | None = None
    cached: int | None = None
    reached: int = 0
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    versions: list[tuple[int, int]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, token: int, logprob: float, entropy: float, version: int) -> None:
        """Append a sampled token."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.entropies.append(entropy)
        if self.versions and self.versions[-1][0] == version:
            self.versions[-1] = (version, self.versions[-1][1] + 1)
        else:
            self.versions.append((version, 1))

    def stop_wanting(self) -> None:
        """Take note that it does not wait any more."""
        if self.wants is not None:
            self.wants.wanted -= 1
            self.wants = None

    def lose_place(self) -> None:
        """Take note that its cached sequence is gone; it starts again."""
        if self.sequence is not None:
            self.reached, self.sequence = self.sequence.computed, None

    def stop(self) -> tuple[StopKind, str | None] | None:
        """Why the completion is over after the newest token, or None if it goes on."""
        if self.tokens[-1] in self.params.stop_ids:
            return "stop_id", None
        if self.watch is not None:
            string = self.watch.find(self.tokens[self.prompt :])
            if string is not None:
                return "stop_string", string
        return ("length", None) if len(self.logprobs) >= self.limit else None

    def completion(self, stop: StopKind, stop_string: str | None) -> Completion:
        """What the caller gets."""
        return Completion(
            ids=self.tokens[self.prompt :],
            logprobs=self.logprobs,
            entropies=self.entropies,
            stop=stop,
            stop_string=stop_string,
            versions=self.versions,
            cached_tokens=self.cached or 0,
            seconds=time.perf_counter() - self.started,
        )
