"""The Porter stemmer as Lucene runs it.

M. F. Porter, "An algorithm for suffix stripping" (1980), with the two departures of his own later
implementations: step 2 turns `bli` into `ble` (the paper: `abli` into `able`) and `logi` into
`log`.  Words of one or two letters are left alone.
"""

from __future__ import annotations

import re
from functools import lru_cache

_STEP_2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "logi": "log",
}
_STEP_3 = {
    "icate": "ic",
    "ative": "",
    "alize": "al",
    "iciti": "ic",
    "ical": "ic",
    "ful": "",
    "ness": "",
}
_STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion"),
    *("ou", "ism", "ate", "iti", "ous", "ive", "ize"),
)


def _endings(suffixes: object) -> re.Pattern[str]:
    """Return a pattern whose last group is the longest of the suffixes that ends a word."""
    longest_first = sorted(suffixes, key=len, reverse=True)  # type: ignore[call-overload]
    return re.compile(f"({'|'.join(longest_first)})$")


_ENDING_2, _ENDING_3, _ENDING_4 = _endings(_STEP_2), _endings(_STEP_3), _endings(_STEP_4)
_MEASURE = re.compile("v+c+")


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """Return the stem of a lower-case word."""
    if len(word) < 3:
        return word
    word = _plurals(word)
    word = _past_and_gerund(word)
    if word[-1] == "y" and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    word = _replace(word, _ENDING_2, _STEP_2)
    word = _replace(word, _ENDING_3, _STEP_3)
    word = _drop_long_suffix(word)
    return _drop_final_e(word)


def _shape(word: str) -> str:
    """Return a word with `c` for consonants and `v` for vowels; y after a consonant is a vowel."""
    kinds: list[str] = []
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and kinds and kinds[-1] == "c")
        kinds.append("v" if vowel else "c")
    return "".join(kinds)


def _measure(word: str) -> int:
    """Return Porter's m: how often a vowel run is followed by a consonant run."""
    return len(_MEASURE.findall(_shape(word)))


def _doubled(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _short_end(word: str) -> bool:
    """Return True for consonant, vowel, consonant at the end, the last not w, x or y."""
    return _shape(word)[-3:] == "cvc" and word[-1] not in "wxy"


def _plurals(word: str) -> str:
    """Step 1a."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _past_and_gerund(word: str) -> str:
    """Step 1b."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        base = word.removesuffix(suffix)
        if base != word and "v" in _shape(base):
            break
    else:
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if _doubled(base):
        return base if base[-1] in "lsz" else base[:-1]
    return base + "e" if _measure(base) == 1 and _short_end(base) else base


def _replace(word: str, ending: re.Pattern[str], replacements: dict[str, str]) -> str:
    """Steps 2 and 3: the longest matching suffix decides, and changes if a stem is left."""
    found = ending.search(word)
    if found is None or _measure(base := word[: found.start()]) == 0:
        return word
    return base + replacements[found[1]]


def _drop_long_suffix(word: str) -> str:
    """Step 4."""
    found = _ENDING_4.search(word)
    if found is None:
        return word
    base = word[: found.start()]
    if _measure(base) < 2 or (found[1] == "ion" and base[-1] not in "st"):
        return word
    return base


def _drop_final_e(word: str) -> str:
    """Step 5."""
    if word[-1] == "e":
        count = _measure(word[:-1])
        if count > 1 or (count == 1 and not _short_end(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word) > 1:
        word = word[:-1]
    return word
