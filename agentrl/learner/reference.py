"""The frozen policy that a method keeps near to."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from agentrl.models import lora
from agentrl.models.attention import install


class Reference:
    """A policy given from outside, or the model as it is when it is first read.

    A model with adapters is not copied: its frozen weights serve, with the adapters it had then.

    Args:
        model: the trained model.
        given: a frozen policy of its own; None keeps the model's present state.
    """

    def __init__(self, model: nn.Module, given: nn.Module | None = None) -> None:
        self._model = model
        self._given = None if given is None else _freeze(given)
        self._copy: nn.Module | None = None
        self._adapters: dict[str, Tensor] | None = None

    @contextmanager
    def policy(self) -> Iterator[nn.Module]:
        """Give the policy to run, without gradient, inside a `with` block."""
        if self._given is not None:
            yield self._given
            return
        self._keep()
        if self._adapters is None:
            assert self._copy is not None
            yield self._copy
        else:
            with lora.replaced(self._model, self._adapters):
                yield self._model

    def state_dict(self) -> dict[str, Any] | None:
        """Return the weights that were kept here; None for none yet, or a policy given."""
        return self._adapters if self._copy is None else self._copy.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._keep()
        if self._adapters is not None:
            self._adapters = {name: state[name].to(old) for name, old in self._adapters.items()}
        if self._copy is not None:
            self._copy.load_state_dict(state)

    def _keep(self) -> None:
        """Keep the model's present state, unless one is kept."""
        if self._copy is not None or self._adapters is not None:
            return
        if lora.is_adapted(self._model):
            present = lora.adapters(self._model)
            self._adapters = {name: p.detach().clone() for name, p in present.items()}
        else:
            self._copy = _freeze(copy.deepcopy(self._model))


def _freeze(model: nn.Module) -> nn.Module:
    install(model)
    return model.eval().requires_grad_(False)
