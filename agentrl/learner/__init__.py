"""The learner: model and optimiser; turns forests into packed tree micro-batches and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrl.learner.settings import LearnerSettings

if TYPE_CHECKING:
    from agentrl.learner.learner import Learner

__all__ = ["Learner", "LearnerSettings"]


def __getattr__(name: str) -> Any:
    """Import the learner, and torch with it, only when it is used: settings come without."""
    if name == "Learner":
        from agentrl.learner.learner import Learner

        return Learner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
