"""Base advantages that read trees, by name, as a configuration file writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.advantages.tree import SubtreeMean, SubtreeStep, TreeRelative
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.named import check_fields, field_names, name_and_fields
from agentrl.algorithms.slots import BatchStep

ADVANTAGES: dict[str, type[Any]] = {
    "group": GroupRelative,
    "subtree": SubtreeMean,
    "subtree-step": SubtreeStep,
    "tree": TreeRelative,
}
CREDITS: dict[str, str] = {
    "flat": "group",
    "subtree": "subtree",
    "step": "subtree-step",
    "tree": "tree",
}
"""Values of the setting `credit`, and the advantages they stand for."""


def base_advantage(choice: str | Mapping[str, Any]) -> BatchStep:
    """Return a base advantage as a configuration file writes it.

    Args:
        choice: a name in `ADVANTAGES`; or a mapping of `name` and fields of the advantage, for
            example `{name: subtree-step, outcome_weight: 1.0}`.

    Raises:
        UnknownNameError: no such advantage or field; the message holds the nearest.
        ConfigError: there is no name, or a value is out of range.
    """
    name, given = name_and_fields("advantage", "advantage", choice, ADVANTAGES)
    check_fields(f"the advantage {name!r}", given, field_names(ADVANTAGES[name]))
    found: BatchStep = ADVANTAGES[name](**given)
    return found


def credited(credit: str) -> BatchStep:
    """Return the group-relative advantage for a value of the setting `credit`."""
    one_of("credit", credit, tuple(CREDITS))
    return base_advantage(CREDITS[credit])
