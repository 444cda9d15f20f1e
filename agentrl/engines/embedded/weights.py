"""Loads a complete Hugging Face state dict into a running model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from agentrl.errors import ConfigError


def load_weights(model: nn.Module, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Copy `weights` into the model's parameters and buffers.

    Of tensors that the model ties together (input embedding and output head) one name suffices.
    Nothing is changed if a name is unknown or missing or a shape differs.

    Raises:
        ConfigError: the weights do not fit the model.
    """
    targets = model.state_dict(keep_vars=True)
    given = dict(weights)
    for name, tensor in given.items():
        _check(name, tensor, targets)
    covered = {targets[name].data_ptr() for name in given}
    missing = [name for name, target in targets.items() if target.data_ptr() not in covered]
    if missing:
        raise ConfigError(
            f"`update_weights` needs the complete state dict; {len(missing)} of {len(targets)} "
            f"tensors are missing, for example {missing[0]!r}."
        )
    with torch.no_grad():
        for name, tensor in given.items():
            targets[name].copy_(tensor)


def _check(name: str, tensor: Tensor, targets: dict[str, Tensor]) -> None:
    if name not in targets:
        close = difflib.get_close_matches(name, targets, n=1, cutoff=0.4)
        nearest = f" Nearest: {close[0]!r}." if close else ""
        raise ConfigError(
            f"`update_weights` got a tensor {name!r} that the model does not have.{nearest}"
        )
    if tensor.shape != targets[name].shape:
        raise ConfigError(
            f"`update_weights` got shape {tuple(tensor.shape)} for {name!r}; the model has "
            f"{tuple(targets[name].shape)}."
        )
