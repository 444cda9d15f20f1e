"""From PDDL to a compact form that is played without the planner.

Fast Downward's translator (through TextWorld) grounds a game: its facts become numbered atoms that
are true or false, its actions operators over them.  That takes a quarter of a second or more, so
the result is kept on disk (`store`).  All values are JSON values.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentrl.envs.alfworld.aim import read_aim
from agentrl.envs.alfworld.collector import collector_paused
from agentrl.envs.alfworld.grammar import Grammar, parse_grammar
from agentrl.envs.alfworld.indexing import (
    buckets,
    fixed_actions,
    grouped_facts,
    read_atoms,
    signature_key,
)
from agentrl.envs.extras import require
from agentrl.errors import DataError

FORMAT = 1
"""Raised when the compact form changes."""

Compact = dict[str, Any]
"""The compact form of a game; see `translate`."""


def translate(game: Mapping[str, Any]) -> Compact:
    """Return the compact form of a game.

    Objects are numbers, places in `objects`.  A literal is `n` (atom n holds) or `-n - 1` (not).

        objects     [[id, type], ...]
        atoms       [[predicate, [object, ...]], ...]
        initial     [n, ...] that hold at first
        operators   ["[action, [object, ...], [literal, ...], [[conditions, literal], ...]]", ...]
                    as JSON texts, because only few of them are ever needed
        layers      [[[conditions, literal], ...], ...] axioms, lowest layer first
        derived     [n, ...] that axioms decide, at their default values in `initial`
        goal        [literal, ...]
        facts       {signature: [[object, ...], ...]} that never change or hold at first, sorted
        actions     {action: [[[parameter, type], ...], template, feedback]}
        rules       {name: [[condition or None, symbols], ...]}
        queries     {condition: [[[signature, ...], [[placeholder, type], ...]], ...]}
        buckets, fixed, read    see `indexing`
        walkthrough [command, ...]
        aim         fields of `aim.Aim`, or None

    Raises:
        DataError: the game is broken.
        MissingExtraError: the extra is not installed.
    """
    fast_downward = require("fast_downward", extra="alfworld", needed_for="agentrl/ALFWorld-v0")
    require("textworld.envs.pddl.textgen", extra="alfworld", needed_for="agentrl/ALFWorld-v0")
    grammar = parse_grammar(game["grammar"])
    try:
        with quiet(), collector_paused():
            task, sas = fast_downward.pddl2sas(game["pddl_domain"], game["pddl_problem"])
        compact = _read_sas(sas.split("\n"))
    except (Exception, SystemExit) as error:  # the translator exits on a syntax error
        raise DataError(f"The game's PDDL cannot be translated: {error!r}"[:500]) from error
    types = {item.name: item.type_name for item in task.objects}
    facts = _initial_facts(task, compact, types)
    changing = _changing(compact, types)
    known = {*facts, *changing, *(signature_key(*_typed(atom, types)) for atom in compact["atoms"])}
    compact["actions"] = _actions(task, grammar)
    compact["rules"] = grammar.rules
    hierarchy = _hierarchy(task)
    compact["queries"] = {
        text: [[_matching(name, phs, hierarchy, known), phs] for name, phs in query]
        for text, query in grammar.queries.items()
    }
    compact["buckets"] = buckets(compact["operators"])
    compact["fixed"] = fixed_actions(compact, changing)
    compact["read"] = read_atoms(compact)
    compact["aim"] = read_aim(game["pddl_problem"])
    compact["walkthrough"] = list(game.get("walkthrough") or [])
    return _numbered(compact, types, facts)


def _numbered(compact: Compact, types: Mapping[str, str], facts: Mapping[str, Any]) -> Compact:
    """Replace the ids of objects by numbers; ids are long and occur thousands of times."""
    number = {name: place for place, name in enumerate(types)}

    def numbers(names: Iterable[str]) -> list[int]:
        return [number[name] for name in names]

    return compact | {
        "objects": [[name, kind] for name, kind in types.items()],
        "facts": {key: [numbers(row) for row in rows] for key, rows in facts.items()},
        "atoms": [[name, numbers(objects)] for name, objects in compact["atoms"]],
        "operators": [
            json.dumps([action, numbers(objects), *rest], separators=(",", ":"))
            for action, objects, *rest in compact["operators"]
        ],
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Undo what the translator does to its surroundings: it prints, and sets `sys.argv`."""
    arguments = sys.argv
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        sys.argv = arguments


def _read_sas(lines: list[str]) -> Compact:
    """Read a task in Fast Downward's SAS format, all of whose variables are single atoms.

    Format: https://www.fast-downward.org/TranslatorOutputFormat
    """
    at = iter(lines[lines.index("end_metric") + 1 :])
    atoms, layer_of, mutable = [], {}, []
    for number in range(int(next(at))):
        _, _, layer, size, *names, _ = [next(at) for _ in range(7)]
        if size != "2" or names[1].partition(" ")[2] != names[0].partition(" ")[2]:
            raise DataError(f"variable {number} is not one atom")
        atoms.append(_atom(names[0]))
        layer_of[number] = int(layer)
        mutable.append(names[0].startswith("Atom "))
    if not all(mutable):
        raise DataError("a variable's first value is a negation")
    for _ in range(int(next(at))):  # mutex groups
        while next(at) != "end_mutex_group":
            pass
    next(at)
    initial = [number for number in range(len(atoms)) if next(at) == "0"]
    for _ in range(2):  # end_state, begin_goal
        next(at)
    goal = [_literal(next(at)) for _ in range(int(next(at)))]
    next(at)
    operators = [_operator(at) for _ in range(int(next(at)))]
    axioms: dict[int, list[Any]] = {}
    for _ in range(int(next(at))):
        next(at)
        body = [_literal(next(at)) for _ in range(int(next(at)))]
        head, _, value = next(at).split()
        axioms.setdefault(layer_of[int(head)], []).append([body, _literal(f"{head} {value}")])
        next(at)
    return {
        "atoms": atoms,
        "initial": initial,
        "operators": operators,
        "layers": [axioms[layer] for layer in sorted(axioms)],
        "derived": [number for number, layer in layer_of.items() if layer >= 0],
        "goal": goal,
    }


def _operator(at: Iterator[str]) -> list[Any]:
    next(at)
    action, *objects = next(at).split()
    needs = [_literal(next(at)) for _ in range(int(next(at)))]
    effects = []
    for _ in range(int(next(at))):
        count, *numbers = next(at).split()
        conditions = [_literal(f"{numbers[2 * i]} {numbers[2 * i + 1]}") for i in range(int(count))]
        atom, before, after = numbers[2 * int(count) :]
        if before != "-1":
            needs.append(_literal(f"{atom} {before}"))
        effects.append([conditions, _literal(f"{atom} {after}")])
    next(at), next(at)
    return [action, objects, needs, effects]


def _literal(text: str) -> int:
    """Read `variable value`; value 0 is the atom, 1 its negation."""
    variable, value = text.split()
    return int(variable) if value == "0" else -int(variable) - 1


def _atom(text: str) -> list[Any]:
    """Read `Atom name(object, object)`."""
    name, _, rest = text.partition(" ")[2].partition("(")
    return [name, [item for item in rest[:-1].split(", ") if item]]


def _initial_facts(task: Any, compact: Compact, types: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts TextWorld starts with: those of the problem, then the atoms that hold."""
    facts = []
    for fact in task.init:
        if hasattr(fact, "predicate"):
            if fact.predicate != "=":
                facts.append((fact.predicate, tuple(fact.args)))
        elif hasattr(fact, "fluent") and fact.fluent.symbol != "total-cost":
            name = str(fact.expression.value)
            if not name.isdigit():  # distances
                facts.append((name, tuple(fact.fluent.args)))
    held = (compact["atoms"][number] for number in compact["initial"])
    facts += [(name, tuple(objects)) for name, objects in held]
    return grouped_facts((f for f in facts if all(o in types for o in f[1])), types)


def _changing(compact: Compact, types: Mapping[str, str]) -> set[str]:
    """Return the signatures of facts that effects add or remove, negations included."""
    atoms = {
        literal if literal >= 0 else -literal - 1
        for _, _, _, effects in compact["operators"]
        for _, literal in effects
    }
    typed = [_typed(compact["atoms"][number], types) for number in atoms]
    return {signature_key(p + name, kinds) for name, kinds in typed for p in ("", "not_")}


def _typed(atom: list[Any], types: Mapping[str, str]) -> tuple[str, list[str]]:
    return atom[0], [types[o] for o in atom[1]]


def _actions(task: Any, grammar: Grammar) -> dict[str, Any]:
    actions = {}
    for action in task.actions:
        if action.name not in grammar.actions:
            raise DataError(f"The game's text grammar lacks action {action.name!r}.")
        template, feedback = grammar.actions[action.name]
        parameters = [[p.name.strip("?"), p.type_name] for p in action.parameters]
        actions[action.name] = [parameters, template, feedback]
    return actions


def _hierarchy(task: Any) -> Any:
    """Return the types as TextWorld holds them; the order of their subtypes orders its lists."""
    from textworld.logic import Type, TypeHierarchy

    hierarchy = TypeHierarchy()
    for item in task.types:
        with contextlib.suppress(ValueError):
            hierarchy.add(Type(item.name, item.supertype_names))
    return hierarchy


def _matching(
    name: str, placeholders: list[tuple[str, str]], hierarchy: Any, known: set[str]
) -> list[str]:
    """Return the signatures that a predicate of a query matches, in TextWorld's order."""
    wanted = [hierarchy.get(kind) for _, kind in placeholders]
    keys = (signature_key(name, (t.name for t in ts)) for ts in hierarchy.multi_subtypes(wanted))
    return [key for key in keys if key in known]
