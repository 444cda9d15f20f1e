"""From text to search terms, as Anserini's default English analyser does it.

Words, possessive `'s` removed, lower case, stop words removed, Porter stems.
"""

from __future__ import annotations

from functools import lru_cache

from agentrl.envs.webshop.stemmer import stem
from agentrl.envs.webshop.words import words

_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then "
    "there these they this to was will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
_POSSESSIVES = ("'s", "'S", "\u2019s", "\u2019S", "\uff07s", "\uff07S")


def analyze(text: str) -> list[str]:
    """Return the search terms of a text, in order."""
    return [term for word in words(text) if (term := _term(word))]


@lru_cache(maxsize=16384)
def _term(word: str) -> str:
    """Return the term of a word; empty for a stop word."""
    if word.endswith(_POSSESSIVES):
        word = word[:-2]
    word = word.lower() if word.isascii() else "".join(map(_lower, word))
    return "" if word in STOP_WORDS else stem(word)


def _lower(char: str) -> str:
    """Return the lower-case form character by character, as Java does: one stays one."""
    return char.lower()[0]
