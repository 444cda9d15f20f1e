"""Decides after every token whether a completion is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class Decoder(Protocol):
    """The part of a Hugging Face tokenizer that stop strings need."""

    def decode(self, token_ids: Sequence[int], *args: bool, **kwargs: bool) -> str:
        """Text of some token ids."""


class StopStrings:
    """Watches the text of one completion for any of several strings.

    Only the newest tokens are decoded.  They are decoded together with the ones before them that
    were decoded last, because what a token looks like may depend on its neighbour.
    """

    def __init__(self, strings: tuple[str, ...], decoder: Decoder) -> None:
        self._strings = strings
        self._decoder = decoder
        self._keep = max(len(string) for string in strings) - 1
        self._tail = ""  # end of the text that can no longer change
        self._begin = 0  # first token decoded for context
        self._fixed = 0  # tokens whose text is in `_tail`

    def find(self, ids: Sequence[int]) -> str | None:
        """The stop string that the newest token completed, or None.

        Args:
            ids: all sampled ids; called once after each new one.
        """
        before = self._decode(ids[self._begin : self._fixed])
        now = self._decode(ids[self._begin :])
        text = self._tail + now[len(before) :]
        found = [(text.find(string), string) for string in self._strings if string in text]
        if found:
            return min(found)[1]
        if not now.endswith(_UNFINISHED):
            # A character may span tokens; text counts as settled only once it is whole.
            self._tail = text[-self._keep :] if self._keep else ""
            self._begin, self._fixed = self._fixed, len(ids)
        return None

    def _decode(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        return self._decoder.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
