"""The command line and environment of a vLLM server that AgentRL can use."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from agentrl.engines.vllm.arguments import engine_arguments
from agentrl.engines.vllm.building import head_width
from agentrl.engines.vllm.features import check_heads, detect
from agentrl.engines.vllm.settings import VLLMSettings

NAME = "policy"
"""How the server calls its model."""
_UNSAID = ("model", "skip_tokenizer_init", "gpu_memory_utilization")


def server_command(
    model: str,
    *,
    host: str,
    port: int,
    dtype: str = "bfloat16",
    max_context: int | None = None,
    max_batch_tokens: int = 2048,
    cache_gib: float = 0.0,
    lora_rank: int = 0,
    tensor_parallel: int = 1,
    gpu_memory: float = 0.9,
    options: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return the command that serves `model`; see `engine_arguments` for what the settings are.

    Raises:
        MissingExtraError: vLLM is not installed.
        ConfigError: a setting is wrong.
    """
    settings = VLLMSettings(
        tensor_parallel=tensor_parallel, gpu_memory=gpu_memory, options=options or {}
    )
    features, config = detect(), AutoConfig.from_pretrained(model)
    check_heads(features, head_width(config))
    arguments = engine_arguments(
        features,
        settings,
        model=model,
        tokenizer=True,
        dtype=dtype,
        max_context=max_context or int(config.max_position_embeddings),
        max_batch_tokens=max_batch_tokens,
        cache_bytes=int(cache_gib * 2**30),
        lora_rank=lora_rank,
    )
    flags = [word for name, value in arguments.items() for word in _flag(name, value)]
    fixed = ["--model", model, "--served-model-name", NAME, "--host", host, "--port", str(port)]
    if not cache_gib:
        fixed += ["--gpu-memory-utilization", str(gpu_memory)]
    module = ["-m", "vllm.entrypoints.openai.api_server"]
    return [sys.executable, *module, *fixed, "--enable-prompt-tokens-details", *flags]


def server_environment() -> dict[str, str]:
    """Return the environment of the server: this one, and the routes for weights opened."""
    here = str(Path(__file__).resolve().parents[3])  # workers import AgentRL by name
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "PYTHONPATH": here if not known else f"{here}{os.pathsep}{known}",
    }


def _flag(name: str, value: Any) -> list[str]:
    """Write an engine argument as vLLM's command line has it."""
    words = name.replace("_", "-")
    if name in _UNSAID:
        return []
    if isinstance(value, bool):
        return [f"--{words}" if value else f"--no-{words}"]
    if isinstance(value, list | tuple):
        return [f"--{words}", *map(str, value)]
    if isinstance(value, Mapping):
        return [f"--{words}", json.dumps(dict(value))]
    return [f"--{words}", str(value)]
