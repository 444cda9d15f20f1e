"""From PDDL ids to the names players read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_SEPARATOR = "_bar_"


def readable_names(ids: Iterable[str]) -> dict[str, str]:
    """Return the name of every id: `desk_bar__minus_01_dot_32...` is, say, `desk 2`.

    An id is a class, `_bar_` and co-ordinates.  Ids of a class are numbered downwards in sorted
    order, so the first gets the highest number.  Co-ordinates that mention a basin make `sink` a
    `sinkbasin`.  Ids without `_bar_` stay as they are.  This is what AlfredDemangler(shuffle=False)
    of alfworld 0.4 does (alfworld/alfworld: alfworld/agents/environment/alfred_tw_env.py).
    """
    ordered = sorted(ids)
    left = Counter(_class_of(name) for name in ordered if _SEPARATOR in name)
    names = {}
    for name in ordered:
        if _SEPARATOR not in name:
            names[name] = name
            continue
        kind = _class_of(name)
        names[name] = f"{kind} {left[kind]}"
        left[kind] -= 1
    return names


def _class_of(name: str) -> str:
    kind, _, rest = name.partition(_SEPARATOR)
    return f"{kind}basin" if "basin" in rest else kind
