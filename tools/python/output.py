"""What code printed: its head and tail, as text that is safe to show a model."""

from __future__ import annotations

import re

TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Escape sequences of terminals: colours, cursor movements, titles."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters other than tab and newline."""
SPECIAL = re.compile(r"<(?=\|[^|<>\s]{1,40}\|>)")
"""Starts of chat markers such as `<|im_end|>`."""


class Output:
    """Collects output and keeps only its head and tail.

    Args:
        head: bytes kept of the start.
        tail: bytes kept of the end.
    """

    def __init__(self, head: int, tail: int) -> None:
        self._head, self._tail = head, tail
        self._start, self._end = bytearray(), bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        room = self._head - len(self._start)
        self._start += data[:room]
        self._end += data[room:]
        del self._end[: -self._tail]

    def text(self) -> str:
        """Return it cleaned, with a mark where bytes were cut out."""
        cut = self.size - len(self._start) - len(self._end)
        if not cut:
            return clean(bytes(self._start + self._end).decode("utf-8", "replace"))
        start, end = (bytes(part).decode("utf-8", "replace") for part in (self._start, self._end))
        return clean(f"{start}\n[{cut} bytes cut out]\n{end}")


def clean(text: str) -> str:
    """Drop terminal sequences and control characters, and break up chat markers.

    A zero-width space behind the `<` of `<|im_end|>` keeps it from becoming a special token.
    """
    text = TERMINAL.sub("", text.replace("\r\n", "\n"))
    return SPECIAL.sub("<\u200b", CONTROL.sub("", text))
