"""What may be changed in the first prompt of an episode, task by task."""

from __future__ import annotations

from typing import Protocol

from agentrl.envs.base import Info
from agentrl.types import Task


class Prompting(Protocol):
    """Varies the system text; the environment's own prompt does the rest."""

    def system(self, text: str | None, task: Task, info: Info) -> str | None:
        """Return the system text of an episode.

        Args:
            text: what the environment's prompt says; None where it says nothing.
            task: what is to be solved; all episodes of a group get the same text.
            info: what `reset` gave.
        """
        ...
