"""vLLM: continuous batching on GPUs, with weights that follow the learner's."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from agentrl.engines.vllm.settings import VLLMSettings

if TYPE_CHECKING:
    from agentrl.engines.vllm.building import start
    from agentrl.engines.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine", "VLLMSettings", "start"]
_LATER = {"VLLMEngine": "engine", "start": "building"}


def __getattr__(name: str) -> Any:
    """Import the engine, and torch with it, only when it is used: settings come without."""
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
