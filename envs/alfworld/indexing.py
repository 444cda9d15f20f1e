"""What the engine would otherwise have to work out whenever a game is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Row = tuple[str, ...]


def signature_key(name: str, types: Iterable[str]) -> str:
    """Return a text for a predicate and the types of its arguments."""
    return f"{name}({','.join(types)})"


def grouped_facts(
    facts: Iterable[tuple[str, Row]], types: Mapping[str, str]
) -> dict[str, list[Row]]:
    """Return facts by signature, sorted and without duplicates."""
    groups: dict[str, set[Row]] = {}
    for name, objects in facts:
        key = signature_key(name, (types[o] for o in objects))
        groups.setdefault(key, set()).add(objects)
    return {key: sorted(rows) for key, rows in groups.items()}


def buckets(operators: list[Any]) -> list[list[Any]]:
    """Group operators by the atom they need that the fewest operators need.

    Few of these atoms hold at a time, so most operators are never looked at.

    Returns:
        `[atom or -1, [operator, ...]]`; -1 groups those that need no atom.
    """
    needed = [[n for n in needs if n >= 0] for _, _, needs, _ in operators]
    wanted = Counter(atom for atoms in needed for atom in atoms)
    groups: dict[int, list[int]] = {}
    for number, atoms in enumerate(needed):
        key = min(atoms, key=lambda atom: wanted[atom]) if atoms else -1
        groups.setdefault(key, []).append(number)
    return [[key, numbers] for key, numbers in groups.items()]


def fixed_actions(compact: Mapping[str, Any], changing: set[str]) -> list[str]:
    """Return the actions whose commands depend on nothing that changes."""
    return [
        name
        for name, (_, template, _) in compact["actions"].items()
        if not _signatures_read(template, compact) & changing
    ]


def read_atoms(compact: Mapping[str, Any]) -> list[int]:
    """Return the atoms that the goal, an operator, an axiom or a text reads."""
    literals = list(compact["goal"])
    for _, _, needs, effects in compact["operators"]:
        literals += needs
        for conditions, _ in effects:
            literals += conditions
    for layer in compact["layers"]:
        for body, _ in layer:
            literals += body
    found = {n if n >= 0 else -n - 1 for n in literals}
    names = {
        key.partition("(")[0].removeprefix("not_")
        for query in compact["queries"].values()
        for keys, _ in query
        for key in keys
    }
    found |= {number for number, (name, _) in enumerate(compact["atoms"]) if name in names}
    return sorted(found)


def _signatures_read(symbols: list[Any], compact: Mapping[str, Any]) -> set[str]:
    """Return the signatures that the text of these symbols depends on."""
    found: set[str] = set()
    for kind, *rest in symbols:
        conditions = [rest[1]] if kind == "each" else []
        inner = [[rest[0]]] if kind in ("each", "list") else []
        if kind == "rule":
            alternatives = compact["rules"].get(rest[0], ())
            conditions += [condition for condition, _ in alternatives]
            inner += [symbols for _, symbols in alternatives]
        for condition in filter(None, conditions):
            found |= {key for keys, _ in compact["queries"][condition] for key in keys}
        for symbols in inner:
            found |= _signatures_read(symbols, compact)
    return found
