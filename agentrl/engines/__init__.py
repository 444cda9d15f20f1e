"""Inference engines: token ids in, token ids out."""

from agentrl.engines.base import (
    Completion,
    Engine,
    EngineStats,
    SamplingParams,
    TemperatureRule,
    check_sampling,
)

__all__ = [
    "Completion",
    "Engine",
    "EngineStats",
    "SamplingParams",
    "TemperatureRule",
    "check_sampling",
]
