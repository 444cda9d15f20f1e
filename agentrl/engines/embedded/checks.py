"""Refuses settings and models that cannot work, with one clear error each."""

from __future__ import annotations

from torch import nn

from agentrl.errors import ConfigError


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
