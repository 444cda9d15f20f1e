"""Colour words, to which the reward reduces the colours of options.

The published list (`COLOR_SET` in princeton-nlp/WebShop:web_agent_site/engine/normalize.py) is part
of the WebShop data: `colors.json` beside the catalogue.  Where there is none, this list of our own
serves.
"""

from __future__ import annotations

from functools import lru_cache

_OWN = (
    "amber apricot aqua azure beige black blue bronze brown burgundy charcoal coral cream crimson "
    "cyan ebony emerald fuchsia gold gray green grey indigo ivory jade khaki lavender lemon lilac "
    "lime magenta maroon mauve mint mustard navy ochre olive orange peach pearl pink plum purple "
    "red rose ruby rust salmon sand sapphire scarlet silver slate tan taupe teal turquoise violet "
    "white wine yellow"
)
OWN_COLORS = tuple(_OWN.split())


@lru_cache(maxsize=4096)
def normalize_color(
    option: str | tuple[str, str], colors: tuple[str, ...]
) -> str | tuple[str, str]:
    """Return the first colour of the list that an option contains, or else the option.

    In a text a colour may stand anywhere (`dark red`, but also `tangerine` for `tan`); a pair
    `(name, value)` contains a colour only if its name or value is one.
    """
    for color in colors:
        if color in option:
            return color
    return option
