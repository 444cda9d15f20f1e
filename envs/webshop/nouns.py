"""Which words of a product's title name the thing: a stand-in for a part-of-speech tagger.

The original asks spaCy's `en_core_web_sm` for nouns and proper nouns.  That model is not on PyPI;
pass `noun_tagger=` a function of your own to use it.  Here every word with a letter counts that is
not a function word, a common adjective, a verb of shop language, or a number with its unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

NounTagger = Callable[[str], list[str]]
"""Title to its nouns in order, with repeats, in lower case."""

_FUNCTION_WORDS = """
a about above after again against all also although always am among an and any are around as at be
because been before behind being below between both but by can could did do does during each
either else every few for from had has have he her here him his how i if in inside into is it its
just may me might more most much must my near neither no nor not of off on once only onto or other
our out outside over own per same shall she should since so some such than that the their them
then there these they this those through to too toward under until up upon us very via was we were
what when where whether which while who whose why will with within without would yet you your
"""
_DESCRIBING_WORDS = """
adjustable adult ample automatic available best better big black blue bold breathable bright broad
casual cheap classic clean clear cold comfortable comfy compatible compact complete cool creative
cute daily dark decorative deep delicious different digital dry durable easy elastic elegant
electric extra fashionable fast fine flat flexible foldable folding formal free fresh full funny
gentle genuine good great green handmade hard healthy heavy high hot huge ideal industrial instant
large last latest lightweight little long loose lovely low luxurious magnetic mini modern multi
natural new nice non old only original oversized perfect personal plain pink plus polarized
portable premium pretty professional pure quick quiet raw ready real rectangular red removable
replaceable retro reusable rich round rustic sexy sharp short silent simple single skinny
sleeveless slim small smart smooth soft solid special square stainless sticky straight strong
sturdy stylish suitable super sweet tall thick thin tight tiny top traditional transparent true
ultra unique universal upgraded useful vintage warm washable waterproof wet white wide wireless
wooden yellow young
"""
_VERBS = """
allows blocking comes designed enhanced fits fit get give gives go helps includes keep keeps made
make makes packed printed protects provides reduces set supports use used wear wearing works
"""
_NOT_NOUNS = frozenset((_FUNCTION_WORDS + _DESCRIBING_WORDS + _VERBS).split())
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_MEASURE = re.compile(r"\d+(?:[.,x×]\d+)*(?:[a-z]{1,4})?$")


@lru_cache(maxsize=512)
def _tagged(title: str) -> tuple[str, ...]:
    found = (word.removesuffix("'s").removesuffix("’s") for word in _WORD.findall(title.lower()))
    return tuple(word for word in found if word not in _NOT_NOUNS and not _MEASURE.match(word))


def likely_nouns(title: str) -> list[str]:
    """Return the words of a title that are likely to be nouns."""
    return list(_tagged(title))
