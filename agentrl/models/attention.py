"""One attention function for transformers models, whose behaviour travels with the call.

transformers lets a program register its own attention function.  Ours, `agentrl`, hands queries,
keys and values to the *attention context* given with the forward call: the engine's context reads
and writes a slot cache, the learner's attends along tree paths.  So one model object, with one set
of weights, serves both, and nothing in the model is patched.

Shapes: N tokens in the flat row, H query heads, J key/value heads, D head width.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from agentrl.errors import ConfigError

NAME = "agentrl"


class AttentionContext(Protocol):
    """Decides what each token of a flat row attends to."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attend in one layer.

        Args:
            layer: index of the decoder layer.
            query: [1, H, N, D], rotary embedding applied.
            key: [1, J, N, D], rotary embedding applied; J divides H.
            value: [1, J, N, D].
            scale: factor on the scores, usually D ** -0.5.

        Returns:
            [1, N, H, D].
        """


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    attention_context: AttentionContext | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    if attention_context is None:
        raise ConfigError(
            "The model uses AgentRL's attention but was called without an attention context; "
            "call it through `agentrl.models.attention.hidden_states`, or save and reload it to "
            "use it with plain transformers."
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer: int = module.layer_idx  # type: ignore[assignment]
    return attention_context.attend(layer, query, key, value, scale), None


AttentionInterface.register(NAME, _attention)


def install(model: nn.Module) -> None:
    """Make a Hugging Face causal LM use AgentRL's attention; saved checkpoints are unaffected."""
    model.config._attn_implementation = NAME  # type: ignore[union-attr]


def hidden_states(
    model: nn.Module, ids_N: Tensor, positions_N: Tensor, context: AttentionContext
) -> Tensor:
    """Run the decoder over one flat row of tokens.

    Args:
        model: a Hugging Face causal LM on which `install` was called.
        ids_N: token ids [N].
        positions_N: position of each token in its own sequence [N].
        context: decides what each token attends to.

    Returns:
        Last hidden states after the final norm, [N, hidden size].
    """
    return all_hidden_states(model, ids_N, positions_N, context, ())[0]


def all_hidden_states(
    model: nn.Module,
    ids_N: Tensor,
    positions_N: Tensor,
    context: AttentionContext,
    layers: Collection[int],
) -> tuple[Tensor, dict[int, Tensor]]:
    """As `hidden_states`, with the outputs of inner layers.

    Args:
        model: a Hugging Face causal LM on which `install` was called.
        ids_N: token ids [N].
        positions_N: position of each token in its own sequence [N].
        context: decides what each token attends to.
        layers: numbers of decoder layers, from 0.

    Returns:
        The last hidden states, and for each layer its output before any norm, [N, hidden size].

    Raises:
        ConfigError: the model has no such layer.
    """
    count: int = model.config.num_hidden_layers  # type: ignore[union-attr, assignment]
    for layer in layers:
        if layer >= count:
            raise ConfigError(
                f"The algorithm reads layer {layer}, but the model has {count}, numbered from 0."
            )
    inner: dict[int, Tensor] = {}
    hooks = [_keep_output(model, layer, inner) for layer in layers]
    # A four-dimensional mask is passed through untouched, so no mask is ever built.
    mask = torch.empty((1, 1, 1, 1), device=ids_N.device)
    try:
        out = model.model(  # type: ignore[operator]
            input_ids=ids_N[None],
            position_ids=positions_N[None],
            attention_mask=mask,
            use_cache=False,
            attention_context=context,
        )
    finally:
        for hook in hooks:
            hook.remove()
    return out.last_hidden_state[0], inner


def _keep_output(model: nn.Module, layer: int, found: dict[int, Tensor]) -> Any:
    """Put a layer's output into `found` as it is computed; the model's own list ends normed."""

    def keep(module: nn.Module, given: Any, output: Any) -> None:
        found[layer] = (output[0] if isinstance(output, tuple) else output)[0]

    return model.model.layers[layer].register_forward_hook(keep)  # type: ignore[index, union-attr]
