"""To and from vLLM's own objects; vLLM is imported when one is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from agentrl.engines.vllm.backend import Adapter, Answer, Counters, Request


def sampling_params(request: Request) -> Any:
    """Return vLLM's `SamplingParams` of a request; only its end is reported."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    return SamplingParams(**request.sampling, output_kind=RequestOutputKind.FINAL_ONLY)


def lora_request(adapter: Adapter | None) -> Any:
    """Return vLLM's request for adapters, if any."""
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(adapter.name, adapter.number, str(adapter.folder))


def answer_of(output: Any) -> Answer:
    """Return what a finished `RequestOutput` holds."""
    completion = output.outputs[0]
    ids = list(completion.token_ids)
    rows = list(_rows(completion.logprobs))
    return Answer(
        ids=ids,
        logprobs=[row[token] for token, row in zip(ids, rows, strict=True)],
        finish=completion.finish_reason,
        stop_reason=completion.stop_reason,
        cached_tokens=output.num_cached_tokens or 0,
        entropies=[entropy_bound(list(row.values())) for row in rows],
    )


def _rows(logprobs: Any) -> Iterator[dict[int, float]]:
    """Yield the log-probs of each place by token, from either of vLLM's containers."""
    starts = getattr(logprobs, "start_indices", None)
    if starts is None:
        for row in logprobs or ():
            yield {token: float(entry.logprob) for token, entry in row.items()}
        return
    for start, end in zip(starts, logprobs.end_indices, strict=True):
        ids, values = logprobs.token_ids[start:end], logprobs.logprobs[start:end]
        yield dict(zip(ids, map(float, values), strict=True))


def entropy_bound(logprobs: Iterable[float]) -> float:
    """Return a lower bound of the entropy of a distribution, in nats, from some of its log-probs.

    -sum p log p over the given tokens, and -r log r for the rest r, as if it were one token.
    """
    given = [value for value in logprobs if value > -math.inf]
    rest = 1.0 - sum(map(math.exp, given))
    known = -sum(math.exp(value) * value for value in given)
    return known - (rest * math.log(rest) if rest > 0 else 0.0)


class CountingLogger:
    """Takes the place of vLLM's loggers and adds up what they are told."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def record(self, scheduler_stats: Any, iteration_stats: Any, *_: object, **__: object) -> None:
        """Add what one forward pass did."""
        counters = self._counters
        if iteration_stats is not None:
            counters.steps += 1
            counters.sampled_tokens += iteration_stats.num_generation_tokens
        cache = getattr(scheduler_stats, "prefix_cache_stats", None)
        if cache is not None:
            counters.cache_queries += cache.queries
            counters.cache_hits += cache.hits

    def log_engine_initialized(self) -> None:
        """Nothing to say."""

    def log(self) -> None:
        """Nothing to say."""

    def record_sleep_state(self, *_: object, **__: object) -> None:
        """Nothing to count."""
