"""Engine arguments and sampling parameters, in vLLM's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.engines.base import SamplingParams
from agentrl.engines.vllm.features import Features
from agentrl.engines.vllm.records import TAG
from agentrl.engines.vllm.settings import VLLMSettings
from agentrl.errors import ConfigError, unknown_name

WORKER = "agentrl.engines.vllm.worker.Worker"
TAP = "agentrl.engines.vllm.tap:EntropyTap"
MOST_REQUESTS = 256
"""Requests that vLLM works on at once; others wait."""
TOP = 20
"""Most probable tokens whose log-probs bound an entropy from below, where it is not noted."""
_CPU_BLOCK = 32
"""Tokens of a cache block on the CPU: the smallest it takes, since only whole blocks are reused."""


def engine_arguments(
    features: Features,
    settings: VLLMSettings,
    *,
    model: str,
    tokenizer: bool,
    dtype: str,
    max_context: int,
    max_batch_tokens: int,
    cache_bytes: int,
    lora_rank: int = 0,
) -> dict[str, Any]:
    """Return the arguments to start vLLM with, `settings.options` on top.

    Args:
        features: of the installed vLLM.
        settings: of the user.
        model: directory or hub id.
        tokenizer: whether vLLM needs one, for stop strings.
        dtype: `float32` or `bfloat16`.
        max_context: longest prompt plus completion.
        max_batch_tokens: most tokens in one forward pass.
        cache_bytes: for keys and values; 0 leaves it to `settings.gpu_memory`.
        lora_rank: most that adapters may have; 0 takes none.

    Raises:
        UnknownNameError: vLLM has no such option.
        ConfigError: an option would break what AgentRL relies on, or this vLLM lacks one.
    """
    arguments: dict[str, Any] = {
        "model": model,
        "skip_tokenizer_init": not tokenizer,
        "dtype": dtype,
        "max_model_len": max_context,
        "max_num_batched_tokens": max_batch_tokens,
        "max_num_seqs": min(MOST_REQUESTS, max_batch_tokens),
        "enable_prefix_caching": True,
        "logprobs_mode": "processed_logprobs",
        "worker_extension_cls": WORKER,
        "tensor_parallel_size": settings.tensor_parallel,
        "gpu_memory_utilization": settings.gpu_memory,
        "generation_config": "vllm",
        "seed": 0,
    }
    if settings.entropy == "exact":
        arguments["logits_processors"] = [TAP]
    if cache_bytes:
        arguments["kv_cache_memory_bytes"] = cache_bytes
    if features.cpu:
        arguments |= {"block_size": _CPU_BLOCK, "enforce_eager": True}
        # A prompt computed in parts takes a seeded draw back, which generators on the CPU cannot:
        # vLLM 0.32 ends with "CPU Generator does not use offset".
        whole = max(max_batch_tokens, max_context)
        arguments |= {"enable_chunked_prefill": False, "max_num_batched_tokens": whole}
    else:
        arguments["enable_sleep_mode"] = True
    if lora_rank:
        # Requests of the last version may still run while those of the next begin.
        arguments |= {"enable_lora": True, "max_lora_rank": _lora_rank(lora_rank), "max_loras": 2}
    arguments |= _checked(settings.options, arguments, features)
    for name in arguments:
        if name not in features.engine_arguments:
            raise ConfigError(
                f"vLLM {features.version} has no engine argument `{name}`; install a newer one."
            )
    return arguments


def _checked(
    options: Mapping[str, Any], ours: Mapping[str, Any], features: Features
) -> dict[str, Any]:
    for name in options:
        if name not in features.engine_arguments:
            raise unknown_name("option of `engine.vllm.options`", name, features.engine_arguments)
        if name in ("logprobs_mode", "worker_extension_cls", "logits_processors", "model"):
            raise ConfigError(
                f"`engine.vllm.options.{name}` cannot be set: AgentRL needs it to be "
                f"{ours.get(name)!r}."
            )
    return dict(options)


def _lora_rank(rank: int) -> int:
    """Return the smallest rank that vLLM has kernels for."""
    for offered in (1, 8, 16, 32, 64, 128, 256, 320, 512):
        if rank <= offered:
            return offered
    raise ConfigError(f"`model.lora.rank` is {rank}; vLLM serves at most 512.")


def sampling_arguments(
    params: SamplingParams, *, prompt: int, max_context: int, seed: int, tag: str, exact: bool
) -> dict[str, Any]:
    """Return the arguments of vLLM's `SamplingParams` for a request.

    vLLM's own defaults are kept out: what ends a completion is what `params` say.

    Args:
        params: as asked for.
        prompt: tokens of the prompt.
        max_context: longest prompt plus completion.
        seed: of the request.
        tag: under which entropies are noted.
        exact: whether they are; if not, the most probable tokens are asked for, to bound them.
    """
    greedy = params.temperature == 0
    arguments: dict[str, Any] = {
        "temperature": params.temperature,
        "top_p": 1.0 if greedy else params.top_p,
        "top_k": 0 if greedy else params.top_k,
        "max_tokens": min(params.max_tokens, max_context - prompt),
        "stop_token_ids": list(params.stop_ids),
        "ignore_eos": True,
        "skip_special_tokens": False,
        "logprobs": 0 if exact else TOP,
        "detokenize": bool(params.stop_strings),
        "extra_args": {TAG: tag},
    }
    if params.stop_strings:
        arguments |= {"stop": list(params.stop_strings), "include_stop_str_in_output": True}
    if not greedy:
        arguments["seed"] = seed % 2**63
    return arguments
