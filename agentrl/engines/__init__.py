"""Inference engines: token ids in, token ids out."""

from agentrl.engines.base import Completion, Engine, EngineStats, SamplingParams

__all__ = ["Completion", "Engine", "EngineStats", "SamplingParams"]
