"""Plays a compact game (`translation`) in plain Python.

A state is one integer, bit n of which says whether atom n holds, and the facts that texts are
derived from.  Both are immutable, so a fork is a copy of two references.  Texts, admissible
commands and outcomes equal those of `textworld.envs.PddlEnv`; tests compare them.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentrl.envs.alfworld.aim import aim_of
from agentrl.envs.alfworld.names import readable_names
from agentrl.envs.alfworld.text import Entity, Facts, Mapped, TextWriter
from agentrl.envs.alfworld.translation import Compact, signature_key

INTRODUCTION = [["rule", "intro"]]
NOTHING = "Nothing happens."


class Operator(NamedTuple):
    """A grounded action; masks are sets of atoms as bits."""

    action: str
    objects: tuple[str, ...]
    needs: int
    needs_not: int
    effects: tuple[tuple[int, int, int], ...]
    """`(must hold, must not hold, literal)`, in order."""


@dataclass(frozen=True, slots=True)
class State:
    """A state of a game.

    Attributes:
        atoms: bit n is set where atom n holds.
        facts: what texts are derived from.  Not a function of `atoms`: TextWorld's facts also hold
            negations left by effects.
    """

    atoms: int
    facts: Facts


class CompactGame:
    """A game; holds nothing that changes but caches, and is shared by all who play it."""

    def __init__(self, compact: Compact) -> None:
        self.types: Mapping[str, str] = compact["types"]
        self.walkthrough: list[str] = compact["walkthrough"]
        self.aim = aim_of(compact["aim"])
        self._atoms = [(name, tuple(objects)) for name, objects in compact["atoms"]]
        self._actions = compact["actions"]
        self.operators = [_operator(*fields) for fields in compact["operators"]]
        self._layers = [
            [(*_masks(body), literal) for body, literal in layer] for layer in compact["layers"]
        ]
        self._goal = _masks(compact["goal"])
        self._derived = _bits(compact["derived"])
        self._defaults = _bits(compact["initial"]) & self._derived
        facts = _grouped(((name, tuple(objects)) for name, objects in compact["facts"]), self.types)
        self.names = readable_names({o for rows in facts.values() for row in rows for o in row})
        entities = {o: Entity(o, self.types[o], name) for o, name in self.names.items()}
        self._writer = TextWriter(compact["rules"], compact["queries"], entities)
        self.initial = State(self._closed(_bits(compact["initial"])), facts)
        self._buckets = _buckets(self.operators)
        self._fixed = self._fixed_templates()
        self._commands: dict[int, str] = {}
        self._anchor_mask = self._read_atoms(compact)

    def commands(self, state: State) -> dict[str, int]:
        """Return the admissible commands and for each the operator that it means."""
        found: dict[str, int] = {}
        for number in self._applicable(state.atoms):
            found.setdefault(self._command(number, state), number)
        return found

    def apply(self, state: State, number: int) -> State:
        """Return the state after an operator."""
        operator, atoms = self.operators[number], state.atoms
        facts = dict(state.facts)
        for needs, needs_not, literal in operator.effects:
            self._change_facts(facts, literal)
            if state.atoms & needs == needs and not state.atoms & needs_not:
                atoms = _with(atoms, literal)
        return State(self._closed(atoms), facts)

    def won(self, state: State) -> bool:
        """Return whether the goal holds."""
        needs, needs_not = self._goal
        return state.atoms & needs == needs and not state.atoms & needs_not

    def introduction(self) -> str:
        """Return the first observation."""
        return self._writer.write(INTRODUCTION, {}, self.initial.facts)

    def feedback(self, state: State, number: int) -> str:
        """Return what is said after an operator; `state` is the state it led to."""
        operator = self.operators[number]
        return self._writer.write(
            self._actions[operator.action][2], self._mapping(operator), state.facts
        )

    def anchor(self, state: State) -> str:
        """Return a digest that is equal where all is equal that goal, actions and texts read.

        What was merely looked at (`checked`) does not count.
        """
        return hashlib.sha256(b"%x" % (state.atoms & self._anchor_mask)).hexdigest()[:16]

    def facts_of(self, state: State) -> set[tuple[str, tuple[str, ...]]]:
        """Return all facts as `(predicate, objects)`; for experts."""
        return {
            (key.partition("(")[0], objects) for key, rows in state.facts.items() for objects in rows
        }

    def _applicable(self, atoms: int) -> list[int]:
        found = []
        for key, bucket in self._buckets:
            if atoms & key == key:
                for number, needs, needs_not in bucket:
                    if atoms & needs == needs and not atoms & needs_not:
                        found.append(number)
        found.sort()
        return found

    def _command(self, number: int, state: State) -> str:
        known = self._commands.get(number)
        if known is not None:
            return known
        operator = self.operators[number]
        mapping = self._mapping(operator)
        text = self._writer.write(self._actions[operator.action][1], mapping, state.facts)
        if "{" in text or "}" in text:
            text = text.format(**{o: entity for o, entity in self.names.items()})
        if operator.action in self._fixed:
            self._commands[number] = text
        return text

    def _mapping(self, operator: Operator) -> Mapped:
        parameters = self._actions[operator.action][0]  # the translator may have added some
        pairs = zip(parameters, operator.objects, strict=False)
        return {(name, kind): value for (name, kind), value in pairs}

    def _closed(self, atoms: int) -> int:
        """Evaluate the axioms, layer by layer."""
        atoms = atoms & ~self._derived | self._defaults
        for layer in self._layers:
            changed = True
            while changed:
                before = atoms
                for needs, needs_not, literal in layer:
                    if atoms & needs == needs and not atoms & needs_not:
                        atoms = _with(atoms, literal)
                changed = atoms != before
        return atoms

    def _change_facts(self, facts: dict[str, tuple[tuple[str, ...], ...]], literal: int) -> None:
        """Add a literal's fact and remove its negation, whether the effect's condition held or not.

        So does `PddlState.apply` of TextWorld, and texts depend on it.
        """
        name, objects = self._atoms[literal if literal >= 0 else -literal - 1]
        added, removed = (name, "not_" + name) if literal >= 0 else ("not_" + name, name)
        types = tuple(self.types[o] for o in objects)
        key = signature_key(removed, types)
        if objects in facts.get(key, ()):
            facts[key] = tuple(row for row in facts[key] if row != objects)
        key = signature_key(added, types)
        if objects not in facts.get(key, ()):
            rows = list(facts.get(key, ()))
            insort(rows, objects)
            facts[key] = tuple(rows)

    def _fixed_templates(self) -> set[str]:
        """Return the actions whose commands never change."""
        changing = set()
        for operator in self.operators:
            for _, _, literal in operator.effects:
                name, objects = self._atoms[literal if literal >= 0 else -literal - 1]
                types = tuple(self.types[o] for o in objects)
                changing |= {signature_key(name, types), signature_key("not_" + name, types)}
        return {
            name
            for name, (_, template, _) in self._actions.items()
            if not self._writer.signatures_read(template) & changing
        }

    def _read_atoms(self, compact: Compact) -> int:
        """Return the atoms that any condition reads."""
        mask = self._goal[0] | self._goal[1]
        for operator in self.operators:
            mask |= operator.needs | operator.needs_not
            for needs, needs_not, _ in operator.effects:
                mask |= needs | needs_not
        for layer in self._layers:
            for needs, needs_not, _ in layer:
                mask |= needs | needs_not
        names = {
            key.partition("(")[0].removeprefix("not_")
            for query in compact["queries"].values()
            for keys, _ in query
            for key in keys
        }
        return mask | _bits(n for n, (name, _) in enumerate(self._atoms) if name in names)


def _operator(
    action: str, objects: list[str], needs: list[int], effects: list[tuple[list[int], int]]
) -> Operator:
    return Operator(
        action,
        tuple(objects),
        *_masks(needs),
        tuple((*_masks(conditions), literal) for conditions, literal in effects),
    )


def _masks(literals: Iterable[int]) -> tuple[int, int]:
    """Return the atoms that must hold and those that must not."""
    literals = list(literals)
    return _bits(n for n in literals if n >= 0), _bits(-n - 1 for n in literals if n < 0)


def _bits(numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def _with(atoms: int, literal: int) -> int:
    return atoms | 1 << literal if literal >= 0 else atoms & ~(1 << (-literal - 1))


def _grouped(facts: Iterable[tuple[str, tuple[str, ...]]], types: Mapping[str, str]) -> Facts:
    groups: dict[str, set[tuple[str, ...]]] = {}
    for name, objects in facts:
        key = signature_key(name, tuple(types[o] for o in objects))
        groups.setdefault(key, set()).add(objects)
    return {key: tuple(sorted(rows)) for key, rows in groups.items()}


def _buckets(operators: list[Operator]) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Group operators by the atom they need that the fewest operators need.

    Few of these atoms hold at a time, so most operators are never looked at.
    """
    atoms_of = [_numbers(operator.needs) for operator in operators]
    wanted = Counter(number for numbers in atoms_of for number in numbers)
    buckets: dict[int, list[tuple[int, int, int]]] = {}
    for number, (operator, atoms) in enumerate(zip(operators, atoms_of, strict=True)):
        key = 1 << min(atoms, key=lambda n: wanted[n]) if atoms else 0
        buckets.setdefault(key, []).append((number, operator.needs, operator.needs_not))
    return list(buckets.items())


def _numbers(mask: int) -> list[int]:
    numbers = []
    while mask:
        lowest = mask & -mask
        numbers.append(lowest.bit_length() - 1)
        mask ^= lowest
    return numbers
