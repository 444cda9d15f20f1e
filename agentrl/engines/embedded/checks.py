"""Refuses settings and prompts that cannot work, with one clear error each."""

from __future__ import annotations

from torch import nn

from agentrl.errors import ConfigError, ContextOverflow


def check_settings(
    model: nn.Module, max_batch_tokens: int, cache_bytes: int, max_context: int | None
) -> None:
    """Raise `ConfigError` for a setting out of range or a model with other attention."""
    checks = [("max_batch_tokens", max_batch_tokens), ("cache_bytes", cache_bytes)]
    if max_context is not None:
        checks.append(("max_context", max_context))
    for name, value in checks:
        if value < 1:
            raise ConfigError(f"`{name}` is {value}; it must be at least 1.")
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ConfigError(
            f"The model has layers of kind {sorted(kinds - {'full_attention'})}; the embedded "
            "engine supports full attention only. Use another engine for this model."
        )


def check_prompt(tokens: list[int], vocabulary: int, max_context: int) -> None:
    """Raise `ConfigError` or `ContextOverflow` for a prompt that the model cannot take."""
    if not tokens:
        raise ConfigError("The prompt is empty; it needs at least one token id.")
    if min(tokens) < 0 or max(tokens) >= vocabulary:
        bad = next(token for token in tokens if not 0 <= token < vocabulary)
        raise ConfigError(
            f"The prompt holds token id {bad}; the model knows ids 0 to {vocabulary - 1}. "
            "Does the tokenizer belong to this model?"
        )
    if len(tokens) >= max_context:
        raise ContextOverflow(
            f"The prompt has {len(tokens)} tokens and the context holds {max_context}; "
            "it must be shorter by at least one. Shorten it or raise `max_context`."
        )
