"""Combinations of slots that several methods refuse, checked before a run starts.

A slot with `needs_truth = True` reads which episodes were verified to be correct.  A reward with
`self_labelled = True` makes that up from the episodes themselves.  A transform with
`normalises = True` divides advantages by a deviation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrl.algorithms.token_advantages import Whiten
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


def reject_self_labelled(algorithm: Algorithm, slot: object) -> None:
    """Raise `ConfigError` if `slot` needs verified rewards and the reward is a self-label.

    A reward whose attribute `stands_for_truth` is True may be used all the same.
    """
    reward = algorithm.reward
    if not getattr(reward, "self_labelled", False) or getattr(reward, "stands_for_truth", False):
        return
    raise ConfigError(
        f"{type(slot).__name__} reads which answers are verified to be correct, but the reward "
        f"{type(reward).__name__} is made from the model's own answers; use the environment's "
        "reward, or set the reward's `stands_for_truth` if its labels may take that place."
    )


def reject_normalising(algorithm: Algorithm, slot: object) -> None:
    """Raise `ConfigError` if a transform would normalise advantages that are scaled already."""
    for transform in algorithm.transforms:
        if isinstance(transform, Whiten) or getattr(transform, "normalises", False):
            raise ConfigError(
                f"{type(slot).__name__} scales its advantages itself, and `transforms` holds "
                f"{type(transform).__name__}, which would divide them by their deviation again; "
                "leave that transform out."
            )
