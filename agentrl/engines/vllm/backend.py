"""What the engine asks of a vLLM, wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Adapter:
    """LoRA adapters of one policy version.

    Attributes:
        version: of the policy.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        number: from 1, new with every update: vLLM keeps what it has loaded and cached under a
            number, whatever the folder says later.
    """

    version: int
    folder: Path
    number: int

    @property
    def name(self) -> str:
        """Return a name that no other update has."""
        return f"agentrl-{self.number}"


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to sample.

    Attributes:
        tag: names it, in vLLM and in the notes of its workers.
        prompt_ids: token ids.
        sampling: arguments of vLLM's `SamplingParams`.
        adapter: to sample with; None takes the model's own weights.
    """

    tag: str
    prompt_ids: Sequence[int]
    sampling: dict[str, Any]
    adapter: Adapter | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What vLLM sampled.

    Attributes:
        ids: sampled token ids.
        logprobs: of each, in nats.
        finish: `stop`, `length` or `abort`.
        stop_reason: the stop id or stop string, if there was one.
        cached_tokens: prompt tokens found in the prefix cache.
        entropies: lower bounds from the most probable tokens, where those were asked for.
    """

    ids: list[int]
    logprobs: list[float]
    finish: str
    stop_reason: int | str | None
    cached_tokens: int
    entropies: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Counters:
    """What vLLM itself counts, since it started.

    Attributes:
        steps: forward passes.
        sampled_tokens: tokens sampled, of running requests too.
        cache_queries: tokens looked up in the prefix cache.
        cache_hits: tokens found there.
    """

    steps: int = 0
    sampled_tokens: int = 0
    cache_queries: int = 0
    cache_hits: int = 0


class Backend(Protocol):
    """One running vLLM.  Methods may be called from any event loop."""

    @property
    def counters(self) -> Counters:
        """What vLLM has counted, as far as it has told."""

    async def generate(self, request: Request) -> Answer:
        """Sample a completion; cancelling the awaiting task ends the request.

        Raises:
            EngineError: vLLM has failed.
        """

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of `worker.Worker` on every worker and return their answers.

        Raises:
            EngineError: it raised, or vLLM has failed.
        """

    async def pause(self) -> None:
        """Stop between two tokens; requests stay, what is cached goes."""

    async def resume(self) -> None:
        """Go on."""

    async def drop_caches(self) -> None:
        """Forget every cached key and value that no running request uses."""

    async def sleep(self) -> None:
        """Give back the accelerator's memory; no request may be running."""

    async def wake(self) -> None:
        """Take the memory again."""

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load adapters, so that requests can name them."""

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget adapters."""

    async def close(self) -> None:
        """End it; running requests fail with `EngineError`."""
