"""Refuses prompts that no engine can take, with one clear error each."""

from __future__ import annotations

from agentrl.errors import ConfigError, ContextOverflow


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
