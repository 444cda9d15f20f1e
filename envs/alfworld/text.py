"""Derives text from TextWorld's grammar and the facts of a state, as TextWorld does.

Re-implements `textworld.envs.pddl.textgen` and the queries of `textworld.logic.State` of TextWorld
1.7: the same symbols in the same order, without parsing and copying them each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from agentrl.errors import DataError

Facts = Mapping[str, tuple[tuple[str, ...], ...]]
"""For each signature the sorted argument lists of its facts."""

Placeholder = tuple[str, str]
Mapped = dict[Placeholder, str]


@dataclass(frozen=True, slots=True)
class Entity:
    """What grammar expressions such as `o.indefinite + ' ' + o.name` can read."""

    id: str
    type: str
    name: str
    definite: str = "the"
    indefinite: str = "a"

    def __str__(self) -> str:
        return self.name


class Context(NamedTuple):
    """What the placeholders of a text stand for."""

    variables: dict[str, Entity]
    mapping: Mapped


class TextWriter:
    """Writes the texts of one game.

    Args:
        rules: the grammar's rules, as `grammar.Grammar.rules`.
        queries: for each condition its predicates: `(signatures in order, placeholders)`.
        entities: the game's objects by id.
    """

    def __init__(
        self,
        rules: Mapping[str, list[Any]],
        queries: Mapping[str, list[Any]],
        entities: Mapping[str, Entity],
    ) -> None:
        self._rules, self._entities = rules, entities
        self._queries = {
            text: [(keys, tuple((name, kind) for name, kind in phs)) for keys, phs in query]
            for text, query in queries.items()
        }

    def write(self, symbols: list[Any], mapping: Mapped, facts: Facts) -> str:
        """Return the text of symbols in a state.

        Args:
            symbols: as `grammar.parse_symbols` gives them.
            mapping: what the parameters of an action stand for.
            facts: the state.
        """
        variables = {name: self._entities[value] for (name, _), value in mapping.items()}
        out: list[str] = []
        for symbol in symbols:
            self._expand(symbol, Context(variables, mapping), facts, out)
        return "".join(out)

    def _expand(self, symbol: list[Any], context: Context, facts: Facts, out: list[str]) -> None:
        kind = symbol[0]
        if kind == "text":
            out.append(symbol[1])
        elif kind == "eval":
            out.append(str(_evaluate(symbol[1], context.variables)))
        elif kind == "rule":
            for inner in self._alternative(symbol[1], context, facts):
                self._expand(inner, context, facts, out)
        elif kind == "each":
            for found in self._contexts(symbol[2], context, facts):
                self._expand(symbol[1], found, facts, out)
        else:
            self._list(symbol[1], context, facts, out)

    def _list(self, each: list[Any], context: Context, facts: Facts, out: list[str]) -> None:
        found = self._contexts(each[2], context, facts)
        if not found:
            self._expand(["rule", "list_empty"], context, facts, out)
        for number, item in enumerate(found):
            if number:
                last = number == len(found) - 1
                separator = "list_last_separator" if last else "list_separator"
                self._expand(["rule", separator], context, facts, out)
            self._expand(each[1], item, facts, out)

    def _alternative(self, name: str, context: Context, facts: Facts) -> list[Any]:
        """Return the symbols of the first alternative whose condition holds."""
        for condition, symbols in self._rules.get(name, ()):
            if not condition or self._holds(condition, context, facts):
                found: list[Any] = symbols
                return found
        raise DataError(f"The game's text grammar has no text for {name!r} in this state.")

    def _holds(self, condition: str, context: Context, facts: Facts) -> bool:
        query = self._queries[condition]
        return next(_assignments(query, dict(context.mapping), facts), None) is not None

    def _contexts(self, query: str | None, context: Context, facts: Facts) -> list[Context]:
        if query is None:
            return [context]
        found = []
        for mapping in _assignments(self._queries[query], dict(context.mapping), facts):
            named = {name: self._entities[value] for (name, _), value in mapping.items()}
            found.append(Context({**context.variables, **named}, mapping))
        return found


def _assignments(
    query: list[tuple[list[str], tuple[Placeholder, ...]]], mapping: Mapped, facts: Facts
) -> Iterator[Mapped]:
    """Yield every way to fill the placeholders so that all predicates hold.

    Different placeholders stand for different objects; results come in the order of TextWorld.
    """
    used = set(mapping.values())
    seen = set(mapping)
    new = []
    for _, placeholders in query:
        new.append([p for p in dict.fromkeys(placeholders) if p not in seen])
        seen.update(placeholders)
    yield from _fill(query, new, 0, mapping, used, facts)


def _fill(
    query: list[tuple[list[str], tuple[Placeholder, ...]]],
    new: list[list[Placeholder]],
    depth: int,
    mapping: Mapped,
    used: set[str],
    facts: Facts,
) -> Iterator[Mapped]:
    if depth == len(query):
        yield mapping.copy()
        return
    keys, placeholders = query[depth]
    for key in keys:
        for arguments in facts.get(key, ()):
            for placeholder, value in zip(placeholders, arguments, strict=True):
                existing = mapping.get(placeholder)
                if existing is None:
                    if value in used:
                        break
                    mapping[placeholder] = value
                    used.add(value)
                elif existing != value:
                    break
            else:
                yield from _fill(query, new, depth + 1, mapping, used, facts)
            for placeholder in new[depth]:
                if placeholder in mapping:
                    used.discard(mapping.pop(placeholder))


@lru_cache(maxsize=512)
def _compiled(expression: str) -> CodeType:
    return compile(expression, "<text grammar>", "eval")


def _evaluate(expression: str, variables: dict[str, Entity]) -> Any:
    """Evaluate an expression of the grammar, such as `r.name`, on the variables alone."""
    name, _, attribute = expression.partition(".")
    if name in variables and attribute == "name":
        return variables[name].name
    return eval(_compiled(expression), {"__builtins__": {}}, variables)
