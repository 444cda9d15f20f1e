"""An algorithm's composition in words, for listings and documents.

python -m agentrl.algorithms.describe > docs/algorithms/methods.md
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from agentrl.algorithms import registry
from agentrl.algorithms.algorithm import SLOTS, Algorithm

TITLES = {
    "agentic": "Agentic: many turns, branching rollouts",
    "policy-loss": "Policy loss, clipping, token weights, regularisers",
    "advantage": "Advantage, re-weighting, selection",
    "reward": "Reward, self-labelling, token credit",
    "memory": "Memory and prompts",
}
"""Headings of the families."""


def composition(algorithm: Algorithm) -> list[tuple[str, str]]:
    """Return (slot, its members) for every slot that differs from `Algorithm`'s defaults."""
    by_name = {item.name: item for item in fields(algorithm)}
    lines = []
    for item in (by_name[name] for name in (*SLOTS, "stat_scope")):
        value = getattr(algorithm, item.name)
        if value == _default(item):
            continue
        members = value if isinstance(value, tuple) else (value,)
        lines.append((item.name, ", ".join(word(member) for member in members) or "none"))
    return lines


def word(member: Any) -> str:
    """Return a slot's member as a call, with the arguments that differ from its defaults."""
    if isinstance(member, Enum):
        return str(member.value)
    if not is_dataclass(member) or isinstance(member, type):
        return str(getattr(member, "__name__", member))
    arguments = []
    for item in fields(member):
        value = getattr(member, item.name)
        if value != _default(item):
            arguments.append(f"{item.name}={_short(value)}")
    return f"{type(member).__name__}({', '.join(arguments)})"


def _short(value: Any) -> str:
    if isinstance(value, tuple) and any(is_dataclass(item) for item in value):
        return f"({', '.join(word(item) for item in value)})"
    return word(value) if is_dataclass(value) or isinstance(value, Enum) else repr(value)


def _default(item: Any) -> Any:
    if item.default is not MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not MISSING else MISSING


def document() -> str:
    """Return docs/algorithms/methods.md: every method of ours with its composition."""
    lines = ["# Methods", "", "Written by `python -m agentrl.algorithms.describe`.", ""]
    defaults = ("ratio", "bounds", "surrogate", "aggregation")
    plain = {item.name: word(_default(item)) for item in fields(Algorithm) if item.name in defaults}
    common = ", ".join(f"{slot} `{member}`" for slot, member in plain.items())
    lines += [f"What a composition does not name is as in `Algorithm`: {common}, nothing else.", ""]
    for family, title in TITLES.items():
        lines += [f"## {title}", "", f"Objectives and sources: [{family}.md]({family}.md).", ""]
        lines += ["| name | is | composition | proven by |", "|---|---|---|---|"]
        for name, text in registry.listing():
            card = registry.card(name)
            if card is not None and card.family == family:
                slots = "; ".join(
                    f"{slot}: `{members}`" for slot, members in composition(registry.get(name))
                )
                lines.append(f"| `{name}` | {text} | {slots} | {card.provenance} |")
        lines.append("")
    return "\n".join(lines).replace("| None", "\\| None")


if __name__ == "__main__":
    print(document(), end="")
