"""Keep text that others wrote from turning into special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

ZERO_WIDTH_SPACE = "\u200b"


class Neutraliser:
    """Breaks up the strings of special tokens inside messages.

    Chat templates escape nothing: an observation that holds `<|im_end|>` would end the turn it is
    shown in.  A zero-width space after the first character keeps such a string readable and stops
    the tokenizer from recognising it.  All other text is left as it is.

    Args:
        strings: texts of the special tokens.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        # One character is consumed at a time, so that overlapping strings are all found; it leads
        # each alternative, so that the search can skip to where one may begin.
        known = [text for text in sorted(set(strings)) if text]
        starts = [f"{re.escape(text[0])}(?={re.escape(text[1:])})" for text in known]
        self._pattern = re.compile("|".join(starts) or r"(?!)")

    def text(self, text: str) -> str:
        """Return `text` with every special token's string broken up."""
        return self._pattern.sub(rf"\g<0>{ZERO_WIDTH_SPACE}", text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with every string in it broken up, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value
