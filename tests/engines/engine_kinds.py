"""How the contract tests build each kind of engine, and where kinds differ by nature."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import uuid
from collections.abc import Coroutine
from typing import Any, Protocol

from torch import nn

from agentrl.engines import Engine, EngineStats
from agentrl.engines.embedded import EmbeddedEngine


class Kind(Protocol):
    """Builds engines of one kind.

    Attributes:
        unit: cached tokens are reused in multiples of this.
    """

    unit: int

    def __call__(self, model: nn.Module, tokenizer: Any = None, **settings: Any) -> Engine: ...

    def close(self) -> None: ...


class EmbeddedKind:
    unit = 1

    def __call__(self, model: nn.Module, tokenizer: Any = None, **settings: Any) -> Engine:
        return EmbeddedEngine(model, tokenizer, **settings)

    def close(self) -> None: ...


class VLLMKind:
    """vLLM in this process; starting takes seconds, so models of a shape share one engine.

    Each test gets the engine with its own model's weights, version 0, and counters at 0.
    """

    unit = 32

    def __init__(self, placement: str = "inline") -> None:
        self._placement = placement
        self._engines: dict[str, Any] = {}

    def __call__(self, model: nn.Module, tokenizer: Any = None, **settings: Any) -> Engine:
        from agentrl.engines.vllm import VLLMSettings, start

        shape = {**model.config.to_dict(), "tokenizer": tokenizer is not None, **settings}
        key = json.dumps(shape, sort_keys=True, default=str)
        engine = self._engines.get(key)
        if engine is None or engine._closed or engine._failure:
            self._engines[key] = engine = start(
                model,
                tokenizer,
                settings=VLLMSettings(placement=self._placement, timeout=60.0),
                cache_bytes=1 << 26,
                **settings,
            )
        in_thread(engine.update_weights(model.state_dict().items(), 0))
        engine._stats, engine._numbers = EngineStats(), itertools.count()
        engine._name = uuid.uuid4().hex  # or the same tags would come again
        counters = engine._backend.counters
        counters.steps = counters.sampled_tokens = 0
        counters.cache_queries = counters.cache_hits = 0
        return engine

    def close(self) -> None:
        for engine in self._engines.values():
            in_thread(engine.close())


def in_thread(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine in a loop of its own, also where one is running already."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
