"""ScienceWorld's descriptions in one line, for models with little context.

    The oven is now open. Kitchen: counter (bowl (red apple), drawer), cupboard (closed).
    Doors: hallway, outside. Carrying: orange.

What it says is read from the simulator's text; substances called air and the agent are left out.
"""

from __future__ import annotations

import re

_ROOM = re.compile(r"This (?:room is called the|outside location is called the) ([^.]*)\.")
_ARTICLE = re.compile(r"^(?:a substance called|an?|the|some) ", re.IGNORECASE)
_INSIDE = re.compile(r"(?:On|In) the [^:]*? is: (.*?)\.\s*$")
_CONTAINING = re.compile(r"\(containing (.*)\)")
_STATE = re.compile(r"[^.(]*, which is (?:turned )?(\w+)")
_COMMA = re.compile(r",(?! which | currently )")
_DOOR = re.compile(r"A door to the (.*?) \(that is (open|closed)\)")
_LEFT_OUT = frozenset(("agent", "air", "nothing"))


def short_view(look: str, inventory: str) -> str:
    """Return room, doors and inventory in one line.

    Args:
        look: the simulator's description of the room.
        inventory: its description of what is carried.
    """
    match = _ROOM.search(look)
    here, _, beyond = look.partition("You also see:")
    things = [_thing(line) for line in here.split("\n\t")[1:]]
    parts = [f"{match[1].capitalize() if match else 'Here'}: {_joined(things)}."]
    doors = [
        name if state == "open" else f"{name} (closed)" for name, state in _DOOR.findall(beyond)
    ]
    if doors:
        parts.append(f"Doors: {', '.join(doors)}.")
    carried = [_thing(line) for line in inventory.split("\n\t")[1:]]
    if any(carried):
        parts.append(f"Carrying: {_joined(carried)}.")
    return " ".join(parts)


def short_answer(text: str) -> str:
    """Return the first line of an answer; empty where it only describes the room or inventory."""
    if _ROOM.match(text) or text.startswith("In your inventory"):
        return ""
    return text.strip().partition("\n")[0] if not text.startswith("Ambiguous") else text.strip()


def _joined(things: list[str]) -> str:
    return ", ".join(thing for thing in things if thing) or "nothing"


def _thing(line: str) -> str:
    """Return name, condition and contents of one entry of a description."""
    line = line.strip()
    name = _name(re.split(r"[.,(]", line)[0])
    if not name:
        return ""
    notes = []
    if re.search(r"door is closed", line):
        notes.append("closed")
    if found := _STATE.match(line):
        notes.append(found[1])
    if found := re.search(r"temperature of (-?\d+)", line):
        notes.append(f"{found[1]} degrees")
    inside = _INSIDE.search(line) or _CONTAINING.search(line)
    if inside:
        notes += [_thing(entry) for entry in _entries(inside[1])]
    notes = [note for note in notes if note]
    return f"{name} ({', '.join(notes)})" if notes else name


def _entries(text: str) -> list[str]:
    """Split a list at its commas, but not in parentheses or before the state of a thing."""
    entries = [""]
    for piece in _COMMA.split(text):
        whole = entries[-1].count("(") == entries[-1].count(")")
        if entries[-1] and whole:
            entries.append(piece)
        else:
            entries[-1] += f",{piece}" if entries[-1] else piece
    return entries


def _name(text: str) -> str:
    name = _ARTICLE.sub("", text.strip())
    return "" if name in _LEFT_OUT else name
