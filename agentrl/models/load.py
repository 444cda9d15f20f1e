"""Load and save causal language models with their tokenizers, in the Hugging Face format."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from agentrl.errors import ConfigError, DataError, TemplateError
from agentrl.models import attention, lora


def load(
    path: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> tuple[nn.Module, Any]:
    """Load a causal language model and its tokenizer.

    Args:
        path: a directory, or the id of a model on the Hugging Face hub.  Whatever looks like a
            directory (it exists, or starts with `.`, `~` or `/`) is never looked up on the hub.
        dtype: of the parameters.
        device: where to put them.

    Returns:
        (model in evaluation mode with AgentRL's attention installed, tokenizer).

    Raises:
        ConfigError: there is no such directory or model.
        TemplateError: the tokenizer has no chat template.
        DataError: files are damaged, or the weights do not belong to the architecture.
    """
    name = os.path.expanduser(os.fspath(path))
    local = _is_local(name)
    if local and not Path(name, "config.json").is_file():
        what = "has no config.json" if Path(name).is_dir() else "does not exist"
        raise ConfigError(
            f"`model.path` is {os.fspath(path)!r}, which {what}. Give the directory of a Hugging "
            "Face model (config.json, *.safetensors, tokenizer.json) or a hub id such as "
            "Qwen/Qwen3-0.6B."
        )
    tokenizer = _load_tokenizer(name, local)
    model = _load_model(name, local, dtype)
    attention.install(model)
    return model.to(device).eval(), tokenizer


def save(model: nn.Module, tokenizer: Any, directory: str | os.PathLike[str]) -> None:
    """Write weights (safetensors), configuration and tokenizer to `directory`.

    Plain transformers can load the result; AgentRL's attention is not recorded in it.  A model
    with adapters is written merged, and the adapters by themselves to the folder `adapter`.  The
    files are written beside the directory and moved there when complete, so a killed process never
    leaves a half-written model under its name.  An older model there is replaced.
    """
    final = Path(directory)
    partial = final.with_name(f".{final.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        adapted = lora.is_adapted(model)
        state = lora.merged_state(model) if adapted else None
        with quiet():
            model.save_pretrained(partial, state_dict=state)  # type: ignore[operator]
        if adapted:
            lora.save(model, partial / lora.FOLDER)
        tokenizer.save_pretrained(partial)
        _replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_local(name: str) -> bool:
    return Path(name).exists() or name.startswith((".", os.sep)) or name.count("/") > 1


def _load_tokenizer(name: str, local: bool) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
    except Exception as error:  # transformers lets errors of many libraries through
        raise _cannot_load("tokenizer", name, local, error) from error
    if not tokenizer.chat_template:
        raise TemplateError(
            f"The tokenizer of `model.path` {name!r} has no chat template. Use an "
            "instruction-tuned model, or set `tokenizer.chat_template` and save the tokenizer."
        )
    return tokenizer


def _load_model(name: str, local: bool, dtype: torch.dtype) -> nn.Module:
    try:
        with quiet():
            model, report = AutoModelForCausalLM.from_pretrained(
                name, dtype=dtype, local_files_only=local, output_loading_info=True
            )
    except Exception as error:  # transformers lets errors of many libraries through
        raise _cannot_load("weights", name, local, error) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise DataError(
            f"The weights of `model.path` {name!r} lack {len(missing)} tensors of the "
            f"architecture in its config.json, for example {missing[0]!r}. Copy the files again."
        )
    loaded: nn.Module = model
    return loaded


@contextmanager
def quiet() -> Iterator[None]:
    """Hide transformers' bars, which break ours, and its reports, which become our errors."""
    verbosity, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _cannot_load(what: str, name: str, local: bool, error: Exception) -> Exception:
    text = (str(error) or type(error).__name__).splitlines()[0]
    damaged = isinstance(error, SafetensorError | RuntimeError | json.JSONDecodeError)
    if local or damaged:
        return DataError(f"Cannot load the {what} in `model.path` {name!r}: {text}")
    return ConfigError(
        f"`model.path` is {name!r}: no such directory, and the hub gives no {what} ({text}). "
        "Check the spelling and the network, or download the model and give its directory."
    )


def _replace(partial: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old-{os.getpid()}")
    if final.exists():
        os.replace(final, old)
    os.replace(partial, final)
    shutil.rmtree(old, ignore_errors=True)
