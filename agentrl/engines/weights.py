"""Complete sets of weights: checked against a model before any is used, and loaded into one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PretrainedConfig

from agentrl.errors import ConfigError


class Expected:
    """Names and shapes of a model's weights.

    Args:
        model: a Hugging Face causal LM; only its names and shapes are kept.
    """

    def __init__(self, model: nn.Module) -> None:
        state = model.state_dict(keep_vars=True)
        self._shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        owners: dict[int, str] = {}
        self._owner = {name: owners.setdefault(id(tensor), name) for name, tensor in state.items()}

    @classmethod
    def of_config(cls, config: PretrainedConfig) -> Expected:
        """Return what a model of this configuration has; none is built in memory."""
        with torch.device("meta"):
            return cls(AutoModelForCausalLM.from_config(config))

    def checked(self, weights: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Return `weights` by name, each tensor once.

        Of tensors that the model ties together (input embedding and output head) one name suffices,
        and one is returned: the first in the model.

        Raises:
            ConfigError: a name is unknown or missing, or a shape differs.
        """
        given = dict(weights)
        for name, tensor in given.items():
            self._check(name, tensor)
        found = {self._owner[name]: tensor for name, tensor in given.items()}
        missing = [name for name in self._shapes if self._owner[name] not in found]
        if missing:
            raise ConfigError(
                f"`update_weights` needs the complete state dict; {len(missing)} of "
                f"{len(self._shapes)} tensors are missing, for example {missing[0]!r}."
            )
        return {name: found[name] for name in self._shapes if self._owner[name] == name}

    def _check(self, name: str, tensor: Tensor) -> None:
        if name not in self._shapes:
            close = difflib.get_close_matches(name, self._shapes, n=1, cutoff=0.4)
            nearest = f" Nearest: {close[0]!r}." if close else ""
            raise ConfigError(
                f"`update_weights` got a tensor {name!r} that the model does not have.{nearest}"
            )
        if tuple(tensor.shape) != self._shapes[name]:
            raise ConfigError(
                f"`update_weights` got shape {tuple(tensor.shape)} for {name!r}; the model has "
                f"{self._shapes[name]}."
            )


def load_weights(model: nn.Module, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Copy `weights` into the model's parameters and buffers.

    Nothing is changed if a name is unknown or missing or a shape differs; see `Expected.checked`.

    Raises:
        ConfigError: the weights do not fit the model.
    """
    targets: Mapping[str, Tensor] = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, tensor in Expected(model).checked(weights).items():
            targets[name].copy_(tensor)
