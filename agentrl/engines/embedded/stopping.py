"""Decides after every token whether a completion is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


_SETTLE_AFTER = 8
_SETTLE_ANYWAY = 32
"""Tokens; a model that writes invalid bytes for ever must not make every step slower."""


class Decoder(Protocol):
    """The part of a Hugging Face tokenizer that stop strings need."""

    def decode(self, token_ids: Sequence[int], *args: bool, **kwargs: bool) -> str:
        """Text of some token ids."""


class StopStrings:
    """Watches the text of one completion for any of several strings.

    Only the newest tokens are decoded.  They are decoded together with the ones before them,
    because what a token looks like may depend on its neighbour.
    """

    def __init__(self, strings: tuple[str, ...], decoder: Decoder) -> None:
        self._strings = strings
        self._decoder = decoder
        self._keep = max(len(string) for string in strings) - 1
        self._tail = ""  # end of the text that can no longer change
        self._context = ""  # the part of it that is decoded again with what follows
        self._begin = 0  # first token of the context
        self._settled = 0  # one past its last token

    def find(self, ids: Sequence[int]) -> str | None:
        """The stop string that the newest token completed, or None.

        Args:
            ids: all sampled ids; call once after each new one.
        """
        now = self._decode(ids[self._begin :])
        text = self._tail + now[len(self._context) :]
        found = [(text.find(string), string) for string in self._strings if string in text]
        if found:
            return min(found)[1]
        fresh = len(ids) - self._settled
        # A character may span several tokens; text settles only when the last one is whole.
        if (fresh >= _SETTLE_AFTER and not now.endswith(_UNFINISHED)) or fresh >= _SETTLE_ANYWAY:
            self._tail = text[-self._keep :] if self._keep else ""
            self._context = self._decode(ids[self._settled :])
            self._begin, self._settled = self._settled, len(ids)
        return None

    def _decode(self, ids: Sequence[int]) -> str:
        return self._decoder.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
