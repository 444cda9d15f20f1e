"""Combinations of slots that several methods refuse, checked before a run starts.

A transform that divides advantages by a deviation carries `normalises = True`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrl.algorithms.advantages.tokens import Whiten
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


def reject_normalising(algorithm: Algorithm, slot: object) -> None:
    """Raise `ConfigError` if a transform would normalise advantages that are scaled already."""
    for transform in algorithm.transforms:
        if isinstance(transform, Whiten) or getattr(transform, "normalises", False):
            raise ConfigError(
                f"{type(slot).__name__} scales its advantages itself, and `transforms` holds "
                f"{type(transform).__name__}, which would divide them by their deviation again; "
                "leave that transform out."
            )
