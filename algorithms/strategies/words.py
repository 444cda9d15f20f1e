"""Which sampled tokens are words, so that an answer may fork there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence


def word_tokens(
    tokens: Sequence[int], special: Collection[int], decode: Callable[[int], str]
) -> list[bool]:
    """Return which tokens may be critical: no special ones, and none of fewer than 2 characters.

    Args:
        tokens: of a response.
        special: ids that are never text.
        decode: gives a token's text; white space around it does not count.
    """
    return [token not in special and len(decode(token).strip()) > 1 for token in tokens]
