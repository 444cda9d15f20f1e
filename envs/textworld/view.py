"""A short text for a TextWorld state: the room, its exits, what is here and what is carried.

Kitchen. Exits: east (closed wooden door), south. Here: coin, table (apple). Carrying: key.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_DIRECTIONS = {"north_of": "north", "south_of": "south", "east_of": "east", "west_of": "west"}
_HOLDING = ("at", "in", "on")
_CONDITIONS = {"open", "closed", "locked"}
_PREPARED = {"fried", "roasted", "grilled", "burned", "chopped", "sliced", "diced"}
_FIXED = {*_DIRECTIONS, "link", "match"}


def facts_digest(facts: Iterable[Any]) -> str:
    """Return a text that is equal for equal states of a game: a digest of its changeable facts."""
    changeable = sorted(
        f"{fact.name} {[variable.name for variable in fact.arguments]}"
        for fact in facts
        if fact.name not in _FIXED
    )
    return hashlib.blake2b("\n".join(changeable).encode(), digest_size=12).hexdigest()


def short_goal(game: Any) -> str:
    """Return `Take the X.` where that is the whole quest, else an empty text.

    TextWorld's own objective text gives the route away in these games.
    """
    quests = [quest for quest in game.quests if quest.win_events and not quest.optional]
    if len(quests) != 1 or len(quests[0].win_events) != 1:
        return ""
    wanted = [
        fact.arguments[0].name
        for fact in quests[0].win_events[0].condition.preconditions
        if fact.name == "in" and fact.arguments[1].name == "I"
    ]
    return f"Take the {game.infos[wanted[0]].name}." if len(wanted) == 1 else ""


class RoomView:
    """Describes states of one game; the map, which never changes, is read once.

    Args:
        facts: the initial facts of the game.
        names: entity id to displayed name.
    """

    def __init__(self, facts: Iterable[Any], names: dict[str, str]) -> None:
        self._names = names
        self._exits: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._doors: dict[tuple[str, str], str] = {}
        for fact in facts:
            arguments = [variable.name for variable in fact.arguments]
            if fact.name in _DIRECTIONS:
                destination, room = arguments
                self._exits[room].append((_DIRECTIONS[fact.name], destination))
            elif fact.name == "link":
                room, door, destination = arguments
                self._doors[room, destination] = door
        for exits in self._exits.values():
            exits.sort()

    def describe(self, facts: Iterable[Any]) -> str:
        """Return the text of a state."""
        holds: dict[str, list[str]] = defaultdict(list)
        condition: dict[str, str] = {}
        prepared: dict[str, list[str]] = defaultdict(list)
        for fact in facts:
            name = fact.name
            if name in _FIXED:
                continue
            arguments = [variable.name for variable in fact.arguments]
            if name in _HOLDING and len(arguments) == 2:
                holds[arguments[1]].append(arguments[0])
            elif name in _CONDITIONS:
                condition[arguments[0]] = name
            elif name in _PREPARED:
                prepared[arguments[0]].append(name)
        room = next(place for place, things in holds.items() if "P" in things)

        def label(thing: str) -> str:
            return " ".join([*sorted(prepared[thing]), self._names.get(thing, thing)])

        def labels(place: str) -> list[str]:
            return sorted(label(thing) for thing in holds[place] if thing != "P")

        def detailed(thing: str) -> str:
            state = condition.get(thing, "")
            inside = ", ".join(labels(thing)) if state in ("", "open") else ""
            note = ": ".join(part for part in (state, inside) if part)
            return f"{label(thing)} ({note})" if note else label(thing)

        parts = [self._names.get(room, room).capitalize()]
        exits = [self._exit(room, way, to, condition) for way, to in self._exits[room]]
        parts.append(f"Exits: {', '.join(exits) or 'none'}")
        here = sorted(detailed(thing) for thing in holds[room] if thing != "P")
        if here:
            parts.append(f"Here: {', '.join(here)}")
        if holds["I"]:
            parts.append(f"Carrying: {', '.join(labels('I'))}")
        return ". ".join(parts) + "."

    def _exit(self, room: str, way: str, destination: str, condition: dict[str, str]) -> str:
        door = self._doors.get((room, destination))
        if door is None:
            return way
        state = condition.get(door, "")
        return f"{way} ({state} {self._names.get(door, door)})".replace("( ", "(")
