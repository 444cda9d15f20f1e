"""Finds vLLM, and what this version of it can do; never by comparing version numbers."""

from __future__ import annotations

import importlib
import inspect
import os
from dataclasses import dataclass
from typing import Any

import torch

from agentrl.errors import ConfigError, MissingExtraError

_DEFAULTS = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
}
"""Environment variables of vLLM, where the user has not set them: no chatter, no reports home."""

_WANTED = "AgentRL needs vLLM 0.17 or newer (tested: 0.32)"


@dataclass(frozen=True, slots=True)
class Features:
    """What the installed vLLM can do.

    Attributes:
        version: as it names itself.
        cpu: whether it runs on the CPU here.
        engine_arguments: names that its engine takes.
    """

    version: str
    cpu: bool
    engine_arguments: frozenset[str]


def prepare_environment() -> None:
    """Set vLLM's environment variables that the user has not set; before its first import."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if not torch.accelerator.is_available():
        # There vLLM would call a C++ compiler for the ranks of tokens, which nobody reads: the
        # first request took 3 to 15 s (measured), and 0.06 s without.
        # Inside this process torch may have read the variable already; then set it outside.
        os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")


def require_vllm() -> Any:
    """Import vLLM.

    Raises:
        MissingExtraError: it is not installed.
    """
    prepare_environment()
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise MissingExtraError(
            f"`engine.kind=vllm` needs vLLM, which cannot be imported ({error}). Install it with "
            "`pip install 'agentrl[vllm]'`; for machines without a GPU see docs/vllm.md."
        ) from error


def detect() -> Features:
    """Look at the installed vLLM.

    Raises:
        MissingExtraError: it is not installed.
        ConfigError: it lacks what weight updates or exact log-probs need.
    """
    vllm = require_vllm()
    arguments = _fields("vllm.engine.arg_utils", "AsyncEngineArgs")
    for name, use in (
        ("worker_extension_cls", "to update weights"),
        ("logprobs_mode", "for log-probs of the distribution that was sampled from"),
    ):
        if name not in arguments:
            raise _lacks(vllm.__version__, f"the engine argument `{name}` ({use})")
    runner = importlib.import_module("vllm.v1.worker.gpu_model_runner").GPUModelRunner
    if "weights_iterator" not in inspect.signature(runner.reload_weights).parameters:
        raise _lacks(vllm.__version__, "`reload_weights(weights_iterator=...)` (to update weights)")
    engine = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM
    if "mode" not in inspect.signature(engine.pause_generation).parameters:
        raise _lacks(vllm.__version__, "`pause_generation(mode=...)` (to update weights)")
    platform = importlib.import_module("vllm.platforms").current_platform
    return Features(
        version=str(vllm.__version__),
        cpu=bool(platform.is_cpu()),
        engine_arguments=arguments,
    )


def check_heads(features: Features, width: int) -> None:
    """Refuse attention heads that vLLM would fail on with the first request.

    Args:
        features: of the installed vLLM.
        width: of a head.

    Raises:
        ConfigError: vLLM has no attention of this width on the CPU.
    """
    if not features.cpu:
        return  # there vLLM chooses among several kernels, and says itself when none fits
    attention = importlib.import_module("vllm.v1.attention.backends.cpu_attn").CPUAttentionBackend
    offered = attention.get_supported_head_sizes()
    if width not in offered:
        raise ConfigError(
            f"The model's attention heads are {width} wide; vLLM on the CPU has kernels for "
            f"{', '.join(map(str, offered))}. Choose `model.heads` so that `model.hidden_size` / "
            "`model.heads` is one of them, or `engine.kind=embedded`."
        )


def _fields(module: str, name: str) -> frozenset[str]:
    cls = getattr(importlib.import_module(module), name)
    return frozenset(inspect.signature(cls).parameters)


def _lacks(version: str, what: str) -> ConfigError:
    return ConfigError(f"vLLM {version} lacks {what}. {_WANTED}.")
