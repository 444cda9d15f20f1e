"""TextWorld's text grammar (`.twl2`), parsed into plain values.

A document has blocks `grammar :: <rules as JSON>;` and `action NAME { template :: "...";
feedback :: "..."; grammar :: <rules>; }`, rules in triple quotes.  The strings inside are parsed by
TextWorld's own parser, which takes milliseconds for each, so results are kept: between games only
the goal differs.

Symbols are JSON values: `["text", s]`, `["rule", name]`, `["eval", expression]`,
`["each", symbol, query or None]` and `["list", symbol]` (a list of what an "each" gives).
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from agentrl.errors import DataError

Symbol = list[Any]
Symbols = list[Symbol]
Query = list[tuple[str, list[tuple[str, str]]]]
"""Predicates with their placeholders as `(name, type)`; all must hold."""

_TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | (?P<block>\"\"\"(?:.|\n)*?\"\"\") | (?P<string>"[^"]*")
    | (?P<mark>::|[{};]) | (?P<word>[\w/-]+)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Grammar:
    """A parsed document.

    Attributes:
        actions: for each action (lower case) its command template and feedback, as symbols.
        rules: for each rule name its alternatives `(condition or None, symbols)`, in order.
        queries: every condition that occurs, parsed.
    """

    actions: dict[str, tuple[Symbols, Symbols]]
    rules: dict[str, list[tuple[str | None, Symbols]]]
    queries: dict[str, Query] = field(default_factory=dict)


def parse_grammar(text: str) -> Grammar:
    """Parse a document.

    Raises:
        DataError: it is malformed.
    """
    actions, rules = _read_document(text)
    try:
        parsed = Grammar(
            actions={
                name: (parse_symbols(template), parse_symbols(feedback))
                for name, (template, feedback) in actions.items()
            },
            rules={
                name: [(r.get("condition") or None, parse_symbols(r["rhs"])) for r in alternatives]
                for name, alternatives in rules.items()
            },
        )
        for query in _conditions(parsed):
            parsed.queries[query] = parse_query(query)
    except Exception as error:  # TatSu has a dozen of them
        raise DataError(f"The game's text grammar cannot be parsed: {error}") from error
    return parsed


@lru_cache(maxsize=4096)
def parse_symbols(text: str) -> Symbols:
    """Parse a grammar string such as `You open the {r.name}.`."""
    from textworld.envs.pddl.textgen import _parse_and_convert

    return [_plain(symbol) for symbol in _parse_and_convert(text, rule_name="symbols")]


@lru_cache(maxsize=1024)
def parse_query(text: str) -> Query:
    """Parse a condition such as `openable(r:receptacle) & opened(r:receptacle)`."""
    from textworld.logic import Rule

    predicates = Rule.parse_conjunctive_query(text).preconditions
    return [(p.name, [(ph.name, ph.type) for ph in p.parameters]) for p in predicates]


def _plain(symbol: Any) -> Symbol:
    kind = type(symbol).__name__
    if kind == "TerminalSymbol":
        return ["text", str(symbol.symbol)]
    if kind == "NonterminalSymbol":
        return ["rule", str(symbol.symbol)]
    if kind == "EvalSymbol":
        return ["eval", symbol.expression.strip()]
    if kind == "ConditionalSymbol":
        return ["each", _plain(symbol.expression), symbol.given or None]
    if kind == "ListSymbol":
        return ["list", _plain(symbol.symbol)]
    raise DataError(f"The game's text grammar has an unknown symbol {kind}.")


def _conditions(grammar: Grammar) -> set[str]:
    found: set[str] = set()

    def visit(symbols: Symbols) -> None:
        for symbol in symbols:
            if symbol[0] == "each" and symbol[2]:
                found.add(symbol[2])
            elif symbol[0] == "list":
                visit([symbol[1]])

    for template, feedback in grammar.actions.values():
        visit(template)
        visit(feedback)
    for alternatives in grammar.rules.values():
        for condition, symbols in alternatives:
            found |= {condition} if condition else set()
            visit(symbols)
    return found


def _read_document(text: str) -> tuple[dict[str, tuple[str, str]], dict[str, list[Any]]]:
    """Split a document into action strings and rules; a later rule replaces an earlier one."""
    actions: dict[str, tuple[str, str]] = {}
    rules: dict[str, list[Any]] = {}
    tokens = _tokens(text)
    while tokens:
        word = tokens.pop(0)
        if word == "grammar":
            rules.update(_rules(_value(tokens), comments=False))
        elif word == "action":
            name, fields = tokens.pop(0).lower(), {}
            _expect(tokens, "{")
            while tokens and tokens[0] != "}":
                key = tokens.pop(0)
                fields[key] = _value(tokens)
            _expect(tokens, "}")
            if not {"template", "feedback"} <= fields.keys():
                raise DataError(f"Action {name!r} of the game's text grammar lacks its texts.")
            actions[name] = (fields["template"][1:-1], fields["feedback"][1:-1])
            rules.update(_rules(fields.get("grammar", '"""{}"""'), comments=True))
        else:
            raise DataError(f"The game's text grammar has {word!r} where a block should begin.")
    return actions, rules


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise DataError(f"The game's text grammar has {text[place : place + 20]!r}.")
        if match.lastgroup:
            tokens.append(match.group())
        place = match.end()
    return tokens


def _value(tokens: list[str]) -> str:
    _expect(tokens, "::")
    value = tokens.pop(0) if tokens else ""
    _expect(tokens, ";")
    return value


def _expect(tokens: list[str], mark: str) -> None:
    if not tokens or tokens.pop(0) != mark:
        raise DataError(f"The game's text grammar lacks a {mark!r}.")


def _rules(block: str, comments: bool) -> dict[str, list[Any]]:
    text = textwrap.dedent(block[3:-3])
    if comments:
        text = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise DataError(f"The rules of the game's text grammar are not JSON: {error}") from error
