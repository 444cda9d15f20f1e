"""Word segmentation as Lucene's StandardTokenizer does it (Unicode UAX #29, with emoji).

Every character is replaced by a letter for its Word_Break class, and one regular expression over
those letters finds the words.  The classes are derived from Python's own Unicode data (general
categories) and the few code points that UAX #29 names; `regex`'s properties agree on all of them
but a few dozen rare letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_WORD = 255
"""Longer words are cut into pieces of this length, as Lucene does."""

_NAMED = {
    ":": ":\u00b7\u0387\u055f\u05f4\u2027\ufe13\ufe55\uff1a",
    ",": ",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe10\ufe14\ufe50\ufe54\uff0c\uff1b",
    ".": ".\u2018\u2019\u2024\ufe52\uff07\uff0e",
    "'": "'",
    '"': '"',
    "_": "\u202f",
    "E": "\u00a9\u00ae\u2122\u3030\u303d",
    "#": "#*",
    "k": "\u20e3",
    "v": "\ufe0f",
    "z": "\u200d",
    "x": "\u200c\uff9e\uff9f",
    " ": "\u200b",
    "N": "\u066b",
    "K": "\u3031\u3032\u3033\u3034\u3035\u309b\u309c\u30fc\uff70",
    "A": "\u05f3",
}
"""Class letter to the characters that UAX #29 or Lucene's grammar names one by one.

`:` MidLetter, `,` MidNum, `.` MidNumLet, `'` and `"` the quotes, `_` ExtendNumLet, `E` pictographs,
`#` key-cap bases, `k` the key cap, `v` U+FE0F, `z` the zero-width joiner, `x` Extend and Format,
`N` Numeric, `K` Katakana, `A` letters; beyond these, `H` Hebrew, `I` Han, `J` Hiragana, `S` scripts
of South-East Asia that need a dictionary, `R` regional indicators.
"""


def _span(*bounds: int) -> list[range]:
    return [range(low, high + 1) for low, high in zip(bounds[::2], bounds[1::2], strict=True)]


_HAN = _span(
    *(0x2E80, 0x2FD5, 0x3005, 0x3005, 0x3007, 0x3007, 0x3021, 0x3029, 0x3038, 0x303B),
    *(0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAD9, 0x20000, 0x3FFFF),
)
_HIRAGANA = _span(0x3041, 0x3096, 0x309D, 0x309F, 0x1B001, 0x1B11E, 0x1F200, 0x1F200)
_KATAKANA = _span(
    *(0x30A0, 0x30FA, 0x30FD, 0x30FF, 0x31F0, 0x31FF, 0x32D0, 0x32FE, 0x3300, 0x3357),
    *(0xFF66, 0xFF9D, 0x1B000, 0x1B000),
)
_SOUTH_EAST_ASIAN = _span(
    *(0x0E00, 0x0EFF, 0x1000, 0x109F, 0x1780, 0x17FF, 0x1950, 0x19DF, 0x1A20, 0x1AAD),
    *(0xA9E0, 0xA9FF, 0xAA60, 0xAADF, 0x11700, 0x1173F),
)
_LETTER_LIKE = _span(
    *(0x02C2, 0x02C5, 0x02D2, 0x02D7, 0x02DE, 0x02DF, 0x02E5, 0x02EB, 0x02ED, 0x02ED),
    *(0x02EF, 0x02FF, 0x055A, 0x055C, 0x055E, 0x055E, 0x058A, 0x058A, 0x24B6, 0x24E9),
    *(0xA708, 0xA716, 0xA720, 0xA721, 0xA789, 0xA78A, 0xAB5B, 0xAB5B),
    *(0x1F130, 0x1F149, 0x1F150, 0x1F169, 0x1F172, 0x1F17D, 0x1F180, 0x1F189),
)
_PICTOGRAPHIC = _span(
    *(0x203C, 0x203C, 0x2049, 0x2049, 0x2139, 0x2139, 0x2194, 0x2199, 0x21A9, 0x21AA),
    *(0x231A, 0x231B, 0x2328, 0x2328, 0x2388, 0x2388, 0x23CF, 0x23CF, 0x23E9, 0x23F3),
    *(0x23F8, 0x23FA, 0x24C2, 0x24C2, 0x25AA, 0x25AB, 0x25B6, 0x25B6, 0x25C0, 0x25C0),
    *(0x25FB, 0x25FE, 0x2600, 0x2605, 0x2607, 0x2612, 0x2614, 0x2685, 0x2690, 0x2705),
    *(0x2708, 0x2712, 0x2714, 0x2714, 0x2716, 0x2716, 0x271D, 0x271D, 0x2721, 0x2721),
    *(0x2728, 0x2728, 0x2733, 0x2734, 0x2744, 0x2744, 0x2747, 0x2747, 0x274C, 0x274C),
    *(0x274E, 0x274E, 0x2753, 0x2755, 0x2757, 0x2757, 0x2763, 0x2767, 0x2795, 0x2797),
    *(0x27A1, 0x27A1, 0x27B0, 0x27B0, 0x27BF, 0x27BF, 0x2934, 0x2935, 0x2B05, 0x2B07),
    *(0x2B1B, 0x2B1C, 0x2B50, 0x2B50, 0x2B55, 0x2B55, 0x3297, 0x3297, 0x3299, 0x3299),
    *(0x1F000, 0x1F0FF, 0x1F10D, 0x1F10F, 0x1F12F, 0x1F12F, 0x1F16C, 0x1F171),
    *(0x1F17E, 0x1F17F, 0x1F18E, 0x1F18E, 0x1F191, 0x1F19A, 0x1F1AD, 0x1F1E5),
    *(0x1F201, 0x1F20F, 0x1F21A, 0x1F21A, 0x1F22F, 0x1F22F, 0x1F232, 0x1F23A),
    *(0x1F23C, 0x1F23F, 0x1F249, 0x1F3FA, 0x1F400, 0x1F53D, 0x1F546, 0x1F64F),
    *(0x1F680, 0x1F6FF, 0x1F774, 0x1F77F, 0x1F7D5, 0x1F7FF, 0x1F80C, 0x1F80F),
    *(0x1F848, 0x1F84F, 0x1F85A, 0x1F85F, 0x1F888, 0x1F88F, 0x1F8AE, 0x1F8FF),
    *(0x1F90C, 0x1F93A, 0x1F93C, 0x1F945, 0x1F947, 0x1FAFF, 0x1FC00, 0x1FFFD),
)


def _within(code: int, spans: Iterable[range]) -> bool:
    return any(code in span for span in spans)


def _class_of(code: int) -> str:
    """Return the class letter of a code point that `_NAMED` does not list."""
    category = unicodedata.category(chr(code))
    by_category = {"Nd": "N", "Pc": "_", "Cf": "x"}
    if _within(code, _SOUTH_EAST_ASIAN) and category[0] in "LM":
        return "S"
    if category[0] == "M" or 0x1F3FB <= code <= 0x1F3FF:
        return "x"
    if category in by_category:
        return by_category[category]
    for letter, spans in (("I", _HAN), ("J", _HIRAGANA), ("K", _KATAKANA), ("E", _PICTOGRAPHIC)):
        if _within(code, spans):
            return letter
    if 0x1F1E6 <= code <= 0x1F1FF:
        return "R"
    if category == "Lo" and (0x05D0 <= code <= 0x05F2 or 0xFB1D <= code <= 0xFB4F):
        return "H"
    letter_like = category[0] == "L" or category == "Nl" or _within(code, _LETTER_LIKE)
    return "A" if letter_like else " "


class _Classes(dict[int, str]):
    """A table for `str.translate`, filled in as characters are met."""

    def __missing__(self, code: int) -> str:
        self[code] = letter = _class_of(code)
        return letter


_TABLE = _Classes({ord(char): letter for letter, chars in _NAMED.items() for char in chars})

_X = "[xzvk]*+"
_LETTERS = (
    f"[AH]{_X}(?:(?:[:.']{_X}(?=[AH])|(?<=H)\"{_X}(?=H))?+[AH]{_X})*+(?:(?<=H)'{_X}(?![AH]))?+"
)
_NUMBER = f"N{_X}(?:(?:[,.']{_X}(?=N))?+N{_X})*+"
_PART = f"(?:(?:{_LETTERS}|{_NUMBER})++|(?:K{_X})++)"
_UNDERSCORES = f"(?:_{_X})"
_PATTERN = re.compile(
    f"({_UNDERSCORES}*+{_PART}(?:{_UNDERSCORES}++{_PART})*+{_UNDERSCORES}*+"
    f"|I{_X}|J{_X}|(?:S{_X})++"
    f"|E{_X}(?:(?<=z)E{_X})*+|RR{_X}|#v?k{_X})"
    f"|_[_xzvk]*+"
)


def words(text: str) -> list[str]:
    """Return the words of a text in order, unchanged."""
    found = []
    for match in _PATTERN.finditer(text.translate(_TABLE)):
        if match[1] is not None:
            start, end = match.span()
            for cut in range(start, end, LONGEST_WORD):
                found.append(text[cut : min(end, cut + LONGEST_WORD)])
    return found
