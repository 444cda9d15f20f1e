"""Continuous batching over a Hugging Face causal LM, with keys and values kept between turns."""

from agentrl.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
