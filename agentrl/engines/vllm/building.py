"""Build a vLLM engine: around a model in memory, a model directory, or a running server."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, PretrainedConfig

from agentrl.engines.vllm.arguments import engine_arguments
from agentrl.engines.vllm.backend import Backend
from agentrl.engines.vllm.engine import VLLMEngine
from agentrl.engines.vllm.features import check_heads, detect
from agentrl.engines.vllm.server import Server
from agentrl.engines.vllm.settings import VLLMSettings
from agentrl.engines.vllm.transfer import Direct, ProcessTransfer, shared_folder
from agentrl.engines.weights import Expected
from agentrl.errors import AgentRLError, EngineError
from agentrl.models.load import quiet


def start(
    model: nn.Module | str | Path,
    tokenizer: Any = None,
    *,
    settings: VLLMSettings | None = None,
    dtype: torch.dtype = torch.float32,
    max_context: int | None = None,
    max_batch_tokens: int = 2048,
    cache_bytes: int = 2 << 30,
    lora_rank: int = 0,
) -> VLLMEngine:
    """Start vLLM in this process or beside it, or connect to a server; blocks until it is ready.

    Args:
        model: a Hugging Face causal LM, of which vLLM gets a copy; or its directory or hub id.  A
            server has weights of its own until the first update.
        tokenizer: needed for stop strings only.
        settings: how vLLM runs.
        dtype: of vLLM's weights and arithmetic.
        max_context: longest prompt plus completion; by default what the model was built for.
        max_batch_tokens: most tokens in one forward pass.
        cache_bytes: for keys and values; 0 leaves it to `settings.gpu_memory`.
        lora_rank: most that adapters may have; 0 takes none.

    Raises:
        MissingExtraError: vLLM is not installed.
        ConfigError: this vLLM lacks something, or a setting is wrong.
        EngineError: vLLM did not start, or the server does not answer.
    """
    settings = settings or VLLMSettings()
    config: PretrainedConfig
    if isinstance(model, nn.Module):
        config, expected = cast(PretrainedConfig, model.config), Expected(model)
    else:
        config = AutoConfig.from_pretrained(str(model))
        expected = Expected.of_config(config)
    context = max_context or int(config.max_position_embeddings)
    backend: Backend
    if settings.url is not None:
        backend = server = Server(settings.url, seconds=settings.timeout)
        context = min(context, server.max_context)
    else:
        backend = _launched(
            model,
            tokenizer,
            settings,
            head_width=head_width(config),
            dtype=str(dtype).removeprefix("torch."),
            max_context=context,
            max_batch_tokens=max_batch_tokens,
            cache_bytes=cache_bytes,
            lora_rank=lora_rank,
        )
    inline = settings.placement == "inline"
    return VLLMEngine(
        backend,
        Direct() if inline else ProcessTransfer(settings),
        expected,
        vocabulary=int(config.vocab_size),
        max_context=context,
        dtype=dtype,
        stop_strings=tokenizer is not None,
        exact_entropy=settings.entropy == "exact",
        timeout=settings.timeout,
    )


def _launched(
    model: nn.Module | str | Path,
    tokenizer: Any,
    settings: VLLMSettings,
    *,
    head_width: int,
    **arguments: Any,
) -> Backend:
    """Start a vLLM of our own."""
    features = detect()
    check_heads(features, head_width)
    folder = _written(model, tokenizer) if isinstance(model, nn.Module) else None
    try:
        wanted = engine_arguments(
            features,
            settings,
            model=str(model if folder is None else folder),
            tokenizer=tokenizer is not None,
            **arguments,
        )
        return _started(settings, wanted)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _started(settings: VLLMSettings, arguments: dict[str, Any]) -> Backend:
    from agentrl.engines.vllm.inline import Inline
    from agentrl.engines.vllm.process import Process

    kind = Inline if settings.placement == "inline" else Process
    try:
        return kind(arguments)
    except AgentRLError:
        raise
    except Exception as error:  # vLLM lets errors of many libraries through
        raise EngineError(f"vLLM did not start: {type(error).__name__}: {error}") from error


def head_width(config: PretrainedConfig) -> int:
    """Return the width of an attention head."""
    width = getattr(config, "head_dim", None)
    return int(width or config.hidden_size // config.num_attention_heads)


def _written(model: nn.Module, tokenizer: Any) -> Path:
    """Write a model for vLLM to read, and return the folder."""
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    folder = Path(tempfile.mkdtemp(prefix="agentrl-model-", dir=shared_folder(size)))
    with quiet():
        model.save_pretrained(folder)  # type: ignore[operator]
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder
