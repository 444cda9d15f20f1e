"""LoRA: frozen weights, and beside them small trained ones.

An adapted linear layer computes W x + (alpha / rank) B A x with A [rank, in] and B [out, rank]
(LoRA: Low-Rank Adaptation of Large Language Models, 2106.09685).  B begins at zero, so that an
adapted model begins as the model it was made of.

The layers are those of the package peft, put into the model in place: `model.model` stays the
decoder, one module serves engine and learner as without adapters, and whatever has
`requires_grad` is trained.  Adapters are at least float32, whatever the model's type: steps of a
small learning rate are lost in the 8 bits of a bfloat16 number, and adapters are too small for
the memory to matter.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agentrl.errors import ConfigError, DataError, MissingExtraError

FOLDER = "adapter"
"""Folder of a saved model that holds its adapters, in the format of peft."""

_NAME = "default"
_WEIGHTS, _CONFIG, _BASE = "adapter_model.safetensors", "adapter_config.json", "base.json"
_PREFIX = "base_model.model."  # of every name in peft's files
_SAMPLE = 4096


def require_peft() -> Any:
    """Import peft; raises `MissingExtraError` where it is not installed."""
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise MissingExtraError(
            f"`model.lora` needs the package 'peft' ({error}). Install it with "
            "`pip install 'agentrl[lora]'`, or leave `model.lora` out."
        ) from error


def add(
    model: nn.Module,
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str] = (),
    seed: int = 0,
    base: str | None = None,
) -> None:
    """Freeze a model and give it adapters, which change nothing until they are trained.

    Args:
        model: a Hugging Face causal LM; it is changed in place.
        rank: width of the adapters.
        alpha: the adapters' output is scaled by alpha / rank.
        targets: names of the linear layers to adapt, for example `q_proj`; all of the decoder's
            if there are none.
        seed: of the initial weights; the global random state is not touched.
        base: path or hub id of the model, for readers of the saved adapter.

    Raises:
        MissingExtraError: peft is not installed.
        ConfigError: the decoder has no linear layer of such a name.
    """
    peft = require_peft()
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=_targets(model, targets),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, model, _NAME)
    for parameter in adapters(model).values():
        parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, torch.float32))


def is_adapted(model: nn.Module) -> bool:
    """True if the model has adapters."""
    return bool(_layers(model))


def adapters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the adapters' parameters by name; empty for a model without."""
    return {
        f"{name}.{part}.weight": getattr(layer, part)[_NAME].weight
        for name, layer in _layers(model).items()
        for part in ("lora_A", "lora_B")
    }


@contextmanager
def replaced(model: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Let the model run with other values of its adapters, without gradient.

    Args:
        model: a model with adapters.
        values: of every parameter in `adapters(model)`.
    """
    own = {name: parameter.data for name, parameter in adapters(model).items()}
    try:
        _set(model, values)
        yield
    finally:
        _set(model, own)


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of the plain model that computes the same, up to rounding."""
    layers, state = _layers(model), {}
    for name, tensor in model.state_dict().items():
        layer, base, rest = name.partition(".base_layer.")
        if base:
            if rest == "weight":
                delta = layers[layer].get_delta_weight(_NAME).detach()
                tensor = (tensor.to(delta.dtype) + delta).to(tensor.dtype)
            state[f"{layer}.{rest}"] = tensor
        elif name.partition(".lora_")[0] not in layers:
            state[name] = tensor
    return state


def save(model: nn.Module, directory: Path) -> None:
    """Write the adapters to a new folder; `peft.PeftModel.from_pretrained` reads them, too."""
    directory.mkdir()
    config: Any = model.peft_config[_NAME]  # type: ignore[index]
    config.target_modules = sorted(config.target_modules)
    config.save_pretrained(directory)
    tensors = {_PREFIX + name: p.detach().contiguous() for name, p in adapters(model).items()}
    save_file(tensors, directory / _WEIGHTS, metadata={"format": "pt"})
    (directory / _BASE).write_text(json.dumps({"weights": _fingerprint(model)}) + "\n")


def load(model: nn.Module, directory: Path) -> None:
    """Give a model the adapters that `save` wrote, bit for bit.

    Args:
        model: what they were trained on, with adapters of the same rank and targets.
        directory: the folder.

    Raises:
        DataError: files are missing or damaged, or belong to other weights or other settings.
    """
    try:
        base = json.loads((directory / _BASE).read_text())["weights"]
        tensors = load_file(directory / _WEIGHTS)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"The adapter in {str(directory)!r} cannot be read: {error}") from error
    if base != _fingerprint(model):
        raise DataError(
            f"The adapter in {str(directory)!r} was trained on other weights than those loaded. "
            "Set `model.path` and `model.dtype` to what the run was started with."
        )
    shapes = {_PREFIX + name: parameter.shape for name, parameter in adapters(model).items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise DataError(
            f"The adapter in {str(directory)!r} has other layers or another rank than "
            "`model.lora` asks for. Go on with the settings that the run was started with."
        )
    # Copied: products with tensors of a mapped file, which are not aligned, round differently.
    with torch.no_grad():
        for name, parameter in adapters(model).items():
            parameter.copy_(tensors[_PREFIX + name])


def _set(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, parameter in adapters(model).items():
        parameter.data = values[name]


def _layers(model: nn.Module) -> dict[str, Any]:
    """Return the adapted layers by name."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def _targets(model: nn.Module, wanted: Sequence[str]) -> list[str]:
    """Check the names of the layers to adapt; return those of all linear layers for none."""
    decoder: nn.Module = model.model  # type: ignore[assignment]
    linear = {n.rpartition(".")[2] for n, m in decoder.named_modules() if isinstance(m, nn.Linear)}
    unknown = sorted(set(wanted) - linear)
    if unknown:
        raise ConfigError(
            f"`model.lora.targets` names {unknown[0]!r}, but the linear layers in the decoder of "
            f"{type(model).__name__} are {', '.join(sorted(linear))}; name some of these, or none "
            "to adapt all. Embeddings and the output layer cannot be adapted."
        )
    return sorted(wanted or linear)


def _fingerprint(model: nn.Module) -> str:
    """Return a hash of the frozen weights: of up to 4,096 numbers of each, evenly spread."""
    digest, trained = hashlib.sha256(), {id(p) for p in adapters(model).values()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in trained:
            flat = parameter.detach().flatten()
            sample = flat[:: max(1, len(flat) // _SAMPLE)].float().cpu()
            digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()
