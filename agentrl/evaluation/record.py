"""What a score needs of an episode, whoever played it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from agentrl.errors import DataError
from agentrl.tree import Episode, Forest, StopReason, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """The outcome of one episode.

    Attributes:
        task: id of its task.
        episode: its number among the episodes of the task, from 0.
        split: split of the task.
        task_type: label of the task; empty where the environment has only one type.
        stop: why it ended: a `StopReason`, or `no_action` where the agent had none to give.
        success: 1.0 if the task was solved.
        score: task score in [0, 1].
        reward: sum of the environment's rewards.
        steps: actions taken.
        invalid_actions: actions that were not in the asked-for form or that the environment did
            not accept.
        seconds: wall time from reset to end.
        error: what went wrong, where it failed.
        error_kind: `raised`, `timeout`, `died`, `contract`, `engine` or empty.
    """

    task: str
    episode: int = 0
    split: str = ""
    task_type: str = ""
    stop: str = StopReason.TERMINATED.value
    success: float = 0.0
    score: float = 0.0
    reward: float = 0.0
    steps: int = 0
    invalid_actions: int = 0
    seconds: float = 0.0
    error: str = ""
    error_kind: str = ""

    @property
    def failed(self) -> bool:
        """True where the episode says nothing about the agent: it is in no mean."""
        return self.stop in _FAILURES

    @property
    def failure(self) -> str:
        """Stop reason and kind of a failed episode, as in metrics: `env_error/raised`."""
        return f"{self.stop}/{self.error_kind or 'unknown'}"

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EpisodeRecord:
        """Rebuild a record; keys that are none of its own are left out.

        Raises:
            DataError: it has no task.
        """
        own = {field.name for field in fields(cls)}
        try:
            return cls(**{name: value for name, value in data.items() if name in own})
        except TypeError as error:
            raise DataError(f"Not a stored episode: {error}") from error


_FAILURES = frozenset(reason.value for reason in StopReason if reason.failed)

NO_ACTION = "no_action"
"""The agent had no action to give; the episode counts, as one that was not won."""


def records_of(forest: Forest | Iterable[Tree]) -> list[EpisodeRecord]:
    """Return the records of a model's episodes, in the forest's order."""
    return [_record(tree, episode) for tree in forest for episode in tree.episodes]


def _record(tree: Tree, episode: Episode) -> EpisodeRecord:
    actions = [node.info for node in tree.model_nodes(episode) if "action" in node.info]
    return EpisodeRecord(
        task=tree.task.id,
        episode=episode.id,
        split=tree.task.split,
        task_type=tree.task.task_type,
        stop=str(episode.stop or StopReason.CANCELLED),
        success=episode.metrics.get("success", 0.0),
        score=episode.metrics.get("score", 0.0),
        reward=episode.reward,
        steps=episode.turns,
        invalid_actions=sum(not info.get("action_valid", True) for info in actions),
        seconds=episode.seconds,
        error=episode.error,
        error_kind=episode.error_kind,
    )
