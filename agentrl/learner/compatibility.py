"""What the learner asks of a model, and refusing those the tree pass would compute wrongly."""

from __future__ import annotations

import torch
from torch import nn

from agentrl.errors import ConfigError
from agentrl.learner.packing import Run
from agentrl.learner.tree_attention import TreeAttention
from agentrl.models import attention

_PROBE_TOKENS = 12
_FULL = "full_attention"


def check_model(model: nn.Module) -> None:
    """Raise `ConfigError` unless the tree forward pass gives the model's own logits.

    Windows and chunks of attention show only in long sequences, so the configuration is asked for
    them; everything else (logit soft-capping or scaling, a bias in the head, sinks, position
    biases) is found by comparing both forward passes on a short probe.

    Args:
        model: a Hugging Face causal LM, AgentRL's attention installed or not.
    """
    name = type(model).__name__
    config = getattr(model, "config", None)
    output = getattr(model, "get_output_embeddings", None)
    head = output() if callable(output) else None
    if config is None or head is None or not hasattr(model, "model"):
        raise ConfigError(
            f"`model.path` names a {name}, which is not a decoder with a linear head "
            "(`model.model` and `get_output_embeddings()`); choose a causal LM such as Qwen3."
        )
    _check_windows(name, config)
    active = [
        n for n, module in model.named_modules() if isinstance(module, nn.Dropout) and module.p
    ]
    if active:
        raise ConfigError(
            f"{name} has dropout at {active[0]!r}; shared tokens are computed once, which is only "
            "exact without it. Set the model's dropout probabilities to 0."
        )
    _check_logits(name, model)


def enable_checkpointing(model: nn.Module) -> None:
    """Switch gradient checkpointing on; it works while the model is in training mode."""
    settings = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # the newer name
        model.activation_checkpointing_enable(settings)  # type: ignore[operator]
    else:
        model.gradient_checkpointing_enable(settings)  # type: ignore[operator]


def _check_windows(name: str, config: object) -> None:
    kinds = set(getattr(config, "layer_types", None) or [_FULL])
    window = getattr(config, "sliding_window", None)
    windowed = window is not None and getattr(config, "use_sliding_window", True)
    if not hasattr(config, "layer_types") and windowed:
        kinds.add("sliding_attention")
    if getattr(config, "attention_chunk_size", None):
        kinds.add("chunked_attention")
    if kinds != {_FULL}:
        others = ", ".join(sorted(kinds - {_FULL}))
        raise ConfigError(
            f"{name} uses {others}, but the learner attends to the full path of every token. Use a "
            "model with full attention in all layers, or switch it off (`use_sliding_window`)."
        )


@torch.no_grad()
def _check_logits(name: str, model: nn.Module) -> None:
    """Compare plain and tree forward passes on a probe of a few tokens."""
    config = model.config
    weight = model.get_output_embeddings().weight  # type: ignore[operator]
    ids_N = torch.arange(1, 1 + _PROBE_TOKENS, device=weight.device) % weight.shape[0]
    positions_N = torch.arange(_PROBE_TOKENS, device=weight.device)
    before, training = config._attn_implementation, model.training  # type: ignore[union-attr]
    model.eval()
    try:
        config._attn_implementation = "eager"  # type: ignore[union-attr]
        plain = model(input_ids=ids_N[None], use_cache=False).logits[0].float()
        attention.install(model)
        context = TreeAttention([Run(None, 0, _PROBE_TOKENS, _PROBE_TOKENS)])
        hidden = attention.hidden_states(model, ids_N, positions_N, context)
        ours = (hidden @ weight.T).float()
    finally:
        config._attn_implementation = before  # type: ignore[union-attr]
        model.train(training)
    error = float((plain.log_softmax(-1) - ours.log_softmax(-1)).abs().max())
    tolerance = 1e-3 if weight.dtype in (torch.float32, torch.float64) else 0.25
    if not error <= tolerance:
        raise ConfigError(
            f"{name}: log-probs of the tree forward pass differ from the model's own by "
            f"{error:.2g} nats (accepted: {tolerance}). The model does something inside or after "
            "attention that AgentRL does not reproduce (soft-capped or scaled logits, a head bias, "
            "attention sinks); choose another model."
        )
