"""What a game asks for, read from its PDDL goal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROPERTIES = {"isclean": "cleanobject", "ishot": "heatobject", "iscool": "coolobject"}
"""Properties an object can be asked to have, and the action that gives each."""


@dataclass(frozen=True, slots=True)
class Aim:
    """The goal of one of the six task types.

    Attributes:
        object_type: of what is to be moved, or looked at.
        receptacle_type: of where it belongs; empty if it is to be looked at.
        lamp_type: of the lamp under which it is to be looked at; empty otherwise.
        wanted: the property it must have, a key of `PROPERTIES`, or empty.
        count: how many objects belong in one receptacle.
    """

    object_type: str
    receptacle_type: str
    lamp_type: str
    wanted: str
    count: int


def read_aim(problem: str) -> dict[str, Any] | None:
    """Return the fields of a problem's `Aim`; None if its goal is of another form."""
    goal = problem.lower().partition("(:goal")[2]
    types = re.findall(r"\(objecttype\s+\?(\w+)\s+([\w-]+)", goal)
    places = re.findall(r"\(receptacletype\s+\?\w+\s+([\w-]+)", goal)
    lamp = re.search(r"\(istoggled\s+\?(\w+)", goal)
    kinds = dict(types)
    lamp_type = kinds.pop(lamp.group(1), "") if lamp else ""
    if len(set(kinds.values())) != 1 or len(set(places)) != (0 if lamp else 1):
        return None
    wanted = [name for name in PROPERTIES if f"({name} " in goal]
    return {
        "object_type": next(iter(kinds.values())),
        "receptacle_type": places[0] if places else "",
        "lamp_type": lamp_type,
        "wanted": wanted[0] if wanted else "",
        "count": len(kinds),
    }


def aim_of(fields: Mapping[str, Any] | None) -> Aim | None:
    """Rebuild an `Aim` from stored fields."""
    return None if fields is None else Aim(**fields)
