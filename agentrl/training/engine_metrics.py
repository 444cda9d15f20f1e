"""What the engine did for a step's rollout, and what its cache saved."""

from __future__ import annotations

from dataclasses import fields

from agentrl.engines import EngineStats


def engine_metrics(before: EngineStats, after: EngineStats, seconds: float) -> dict[str, float]:
    """Return the engine's part of a step's metrics.

    `engine/tokens_requested` is what an engine that keeps nothing would have computed,
    `engine/tokens_computed` what went through the model, `engine/cached_share` the share of the
    requested tokens that was served from the cache (left out where none were requested), and
    `engine/busy_share` the share of the rollout's time in which the engine was computing.

    Args:
        before: a copy of the engine's counters from before the rollout.
        after: the counters after it.
        seconds: how long the rollout took.
    """
    grown = {
        item.name: getattr(after, item.name) - getattr(before, item.name)
        for item in fields(EngineStats)
    }
    values = {
        "engine/tokens_requested": float(grown["requested_tokens"]),
        "engine/tokens_computed": float(grown["computed_tokens"]),
    }
    if grown["requested_tokens"]:
        values["engine/cached_share"] = grown["cached_tokens"] / grown["requested_tokens"]
    if seconds > 0:
        values["engine/busy_share"] = grown["busy_seconds"] / seconds
    return values
