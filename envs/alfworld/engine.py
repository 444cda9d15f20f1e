"""Plays a compact game (`translation`) in plain Python.

A state is one integer, bit n of which says whether atom n holds, and the facts that texts are
derived from.  Both are immutable, so a fork is a copy of two references.  Texts, admissible
commands and outcomes equal those of `textworld.envs.PddlEnv`; tests compare them.
"""

from __future__ import annotations

import hashlib
import json
from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from agentrl.envs.alfworld.aim import aim_of
from agentrl.envs.alfworld.indexing import signature_key
from agentrl.envs.alfworld.names import readable_names
from agentrl.envs.alfworld.text import Entity, Facts, Mapped, TextWriter
from agentrl.envs.alfworld.translation import Compact

INTRODUCTION = [["rule", "intro"]]
NOTHING = "Nothing happens."


class Operator(NamedTuple):
    """A grounded action; masks are sets of atoms as bits."""

    number: int
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
        self._objects: list[str] = [name for name, _ in compact["objects"]]
        self._types = dict(compact["objects"])
        self._atoms = compact["atoms"]
        self._actions = compact["actions"]
        self._fixed = set(compact["fixed"])
        self._raw: list[str] = compact["operators"]
        self._operators: dict[int, Operator] = {}
        self._buckets: list[tuple[int, list[Operator] | list[int]]] = [
            (1 << atom if atom >= 0 else 0, numbers) for atom, numbers in compact["buckets"]
        ]
        self._layers = [
            [(*_masks(body), literal) for body, literal in layer] for layer in compact["layers"]
        ]
        self._goal = _masks(compact["goal"])
        self._derived, self._read = _bits(compact["derived"]), _bits(compact["read"])
        self._defaults = _bits(compact["initial"]) & self._derived
        self._commands: dict[int, str] = {}
        facts = {key: tuple(map(self._ids, rows)) for key, rows in compact["facts"].items()}
        self.names = readable_names({o for rows in facts.values() for row in rows for o in row})
        entities = {o: Entity(o, self._types[o], name) for o, name in self.names.items()}
        self._writer = TextWriter(compact["rules"], compact["queries"], entities)
        self.initial = State(self._closed(_bits(compact["initial"])), facts)
        self.walkthrough: list[str] = compact["walkthrough"]
        self.aim = aim_of(compact["aim"])

    def commands(self, state: State) -> dict[str, int]:
        """Return the admissible commands and for each the operator that it means."""
        found: dict[str, int] = {}
        for number in self._applicable(state.atoms):
            found.setdefault(self._command(number, state), number)
        return found

    def apply(self, state: State, number: int) -> State:
        """Return the state after an operator."""
        operator, atoms = self.operator(number), state.atoms
        facts = dict(state.facts)
        for needs, needs_not, literal in operator.effects:
            self._change_facts(facts, literal)
            if state.atoms & needs == needs and not state.atoms & needs_not:
                atoms = _with(atoms, literal)
        return State(self._closed(atoms), facts)

    def operator(self, number: int) -> Operator:
        """Return an operator; most are never needed, so they are built on demand."""
        operator = self._operators.get(number)
        if operator is None:
            action, objects, needs, effects = json.loads(self._raw[number])
            operator = self._operators[number] = Operator(
                number,
                action,
                self._ids(objects),
                *_masks(needs),
                tuple((*_masks(conditions), literal) for conditions, literal in effects),
            )
        return operator

    def grounded(self, action: str) -> Iterator[tuple[str, ...]]:
        """Yield the objects of every operator of an action, possible now or not."""
        for text in self._raw:
            if text.startswith(f'["{action}",'):
                yield self._ids(json.loads(text)[1])

    def won(self, state: State) -> bool:
        """Return whether the goal holds."""
        needs, needs_not = self._goal
        return state.atoms & needs == needs and not state.atoms & needs_not

    def introduction(self) -> str:
        """Return the first observation."""
        return self._writer.write(INTRODUCTION, {}, self.initial.facts)

    def feedback(self, state: State, number: int) -> str:
        """Return what is said after an operator; `state` is the state it led to."""
        operator = self.operator(number)
        return self._writer.write(
            self._actions[operator.action][2], self._mapping(operator), state.facts
        )

    def anchor(self, state: State) -> str:
        """Return a digest that is equal where all is equal that goal, actions and texts read.

        What was merely looked at (`checked`) does not count.
        """
        return hashlib.sha256(b"%x" % (state.atoms & self._read)).hexdigest()[:16]

    def facts_of(self, state: State) -> set[tuple[str, tuple[str, ...]]]:
        """Return all facts as `(predicate, objects)`; for experts."""
        return {
            (key.partition("(")[0], objects)
            for key, rows in state.facts.items()
            for objects in rows
        }

    def _applicable(self, atoms: int) -> list[int]:
        found = []
        for place, (key, bucket) in enumerate(self._buckets):
            if atoms & key == key:
                if isinstance(bucket[0], int):
                    bucket = [self.operator(number) for number in bucket]
                    self._buckets[place] = key, bucket
                for operator in bucket:
                    if atoms & operator.needs == operator.needs and not atoms & operator.needs_not:
                        found.append(operator.number)
        found.sort()
        return found

    def _command(self, number: int, state: State) -> str:
        known = self._commands.get(number)
        if known is not None:
            return known
        operator = self.operator(number)
        mapping = self._mapping(operator)
        text = self._writer.write(self._actions[operator.action][1], mapping, state.facts)
        if "{" in text or "}" in text:
            text = text.format(**self.names)
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
        name, numbers = self._atoms[literal if literal >= 0 else -literal - 1]
        added, removed = (name, "not_" + name) if literal >= 0 else ("not_" + name, name)
        objects = self._ids(numbers)
        types = [self._types[o] for o in objects]
        key = signature_key(removed, types)
        if objects in facts.get(key, ()):
            facts[key] = tuple(row for row in facts[key] if row != objects)
        key = signature_key(added, types)
        if objects not in facts.get(key, ()):
            rows = list(facts.get(key, ()))
            insort(rows, objects)
            facts[key] = tuple(rows)

    def _ids(self, numbers: list[int]) -> tuple[str, ...]:
        return tuple([self._objects[number] for number in numbers])


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
