"""Earlier episodes that new ones can begin inside of: dataset reset (DR-PO)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrl.tree import Episode, Tree, Writer


@dataclass(slots=True)
class Stored:
    """An episode that is kept.

    Attributes:
        reward: its return.
        answers: what was answered in each turn, as token ids.
    """

    reward: float
    answers: list[list[int]]


@dataclass(slots=True)
class StoredEpisodes:
    """The best episode so far of each task, by task id.

    Only successful ones are kept; of equal returns the shorter, and the earlier.
    """

    episodes: dict[str, Stored] = field(default_factory=dict)

    def answers(self, task_id: str) -> list[list[int]] | None:
        """Return the answers of a task's episode; None where there is none."""
        stored = self.episodes.get(task_id)
        return None if stored is None else stored.answers

    def add(self, trees: Iterable[Tree]) -> None:
        """Keep what is better than what there is."""
        for tree in trees:
            for episode in tree.counted():
                self._consider(tree, episode)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {key: [item.reward, item.answers] for key, item in self.episodes.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.episodes = {key: Stored(*values) for key, values in state.items()}

    def _consider(self, tree: Tree, episode: Episode) -> None:
        if not episode.metrics.get("success", 0.0) > 0:
            return
        found = Stored(episode.reward, answers_of(tree, episode))
        known = self.episodes.get(tree.task.id)
        if known is None or _rank(found) > _rank(known):
            self.episodes[tree.task.id] = found


def answers_of(tree: Tree, episode: Episode) -> list[list[int]]:
    """Return what was answered in each turn of an episode, given parts included."""
    turns: dict[int, list[int]] = {}
    seen: set[int] = set()
    for last in episode.sequences:
        for node in tree.path(last):
            answer = node.writer is Writer.MODEL or bool(node.info.get("given"))
            if answer and node.id not in seen:
                seen.add(node.id)
                turns.setdefault(node.turn, []).extend(node.ids)
    return [turns[turn] for turn in sorted(turns)]


def _rank(stored: Stored) -> tuple[float, int]:
    return stored.reward, -sum(map(len, stored.answers))
