"""The `facts` back end: TextWorld's own game logic in pure Python, without the Inform 7 prose.

`textworld.envs.tw.TextWorldEnv` plays a game's `.json` this way; this player drives the same
`GameProgression` but computes only what is shown, keeps loaded games, and forks by copying the
progression.  Outcomes (admissible commands, score, won, lost) equal TextWorld's; a test compares.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from textworld.generator.game import Game, GameProgression
from textworld.generator.inform7 import Inform7Game

from agentrl.envs.textworld.player import Frame
from agentrl.envs.textworld.view import RoomView, facts_digest, short_goal

LOADED_GAMES = 256
"""Games kept in a process; about 0.3 MB each."""


class LoadedGame:
    """A game file and all that its players share and never change."""

    def __init__(self, path: Path) -> None:
        self.game = Game.load(str(path))
        self.inform7 = Inform7Game(self.game)
        self.initial = GameProgression(self.game, track_quests=True)
        names = {key: info.name or key for key, info in self.game.infos.items()}
        self.view = RoomView(self.game.world.state.facts, names)
        self.objective = " ".join(self.game.objective.split())
        self.goal = short_goal(self.game) or self.objective
        self.walkthrough = list(self.game.metadata.get("walkthrough") or [])
        score = self.game.max_score
        self.max_score = int(score) if score < float("inf") else None
        self.details = {
            info.name: info.desc
            for info in self.game.infos.values()
            if info.name and info.desc and info.type != "r" and "[" not in info.desc
        }
        if "recipe" in self.game.metadata:
            self.details["cookbook"] = self.game.metadata["recipe"]


@lru_cache(maxsize=LOADED_GAMES)
def _load(path: Path, modified_ns: int) -> LoadedGame:
    return LoadedGame(path)


class FactsPlayer:
    """Plays a game's `.json`.

    Args:
        path: the game file.
    """

    def __init__(self, path: Path) -> None:
        self._game = _load(path, path.stat().st_mtime_ns)
        self.goal, self.objective = self._game.goal, self._game.objective
        self.walkthrough = self._game.walkthrough
        self._progression = copy_progression(self._game.initial)
        self._frame = self._look("", True)

    def frame(self) -> Frame:
        """Return the current situation."""
        return self._frame

    def send(self, command: str) -> Frame:
        """Carry a command out; an inadmissible one changes nothing."""
        if command in self._commands:
            self._progression.update(self._meant_by(command))
            self._frame = self._look(self._detail(command), True)
        else:
            self._frame = self._look("Not possible. ", False)
        return self._frame

    def expert_commands(self) -> list[str] | None:
        """Return TextWorld's policy from here."""
        policy = self._progression.winning_policy
        return None if policy is None else self._game.inform7.gen_commands_from_actions(policy)

    def fork(self) -> FactsPlayer:
        """Return an independent player in the same state, by copying the progression.

        0.1-1.6 ms whatever came before; replaying costs a reset and 0.4-4 ms a command
        (benchmarks/textworld_env.py).
        """
        twin = object.__new__(FactsPlayer)
        twin.__dict__.update(self.__dict__)
        twin._progression = copy_progression(self._progression)
        return twin

    def close(self) -> None:
        """Nothing to free."""

    def _look(self, prefix: str, accepted: bool) -> Frame:
        progression = self._progression
        if accepted:
            self._commands = self._game.inform7.gen_commands_from_actions(progression.valid_actions)
            facts = list(progression.state.facts)
            self._text, self._anchor = self._game.view.describe(facts), facts_digest(facts)
        return Frame(
            text=prefix + self._text,
            admissible=sorted(set(self._commands)),
            accepted=accepted,
            score=int(progression.score),
            max_score=self._game.max_score,
            won=progression.completed,
            lost=progression.failed,
            anchor=self._anchor,
        )

    def _meant_by(self, command: str) -> Any:
        """Return the action of a command; of several (`prepare meal`) the one that uses most.

        So does the compiled game; `textworld.envs.tw` takes the first, and would cook a recipe of
        several ingredients from one.
        """
        pairs = zip(self._commands, self._progression.valid_actions, strict=True)
        actions = [action for name, action in pairs if name == command]
        return max(actions, key=lambda action: len(action.preconditions))

    def _detail(self, command: str) -> str:
        """Return what `examine X` reveals beyond the room view."""
        verb, _, name = command.partition(" ")
        detail = self._game.details.get(name, "") if verb == "examine" else ""
        return " ".join(detail.split()) + "\n" if detail else ""


def copy_progression(progression: GameProgression) -> GameProgression:
    """Copy as `GameProgression.copy` does, without computing the valid actions of the start."""
    twin: Any = object.__new__(GameProgression)
    twin.game = progression.game
    twin.state = progression.state.copy()
    twin._valid_actions = progression._valid_actions
    twin.quest_progressions = [quest.copy() for quest in progression.quest_progressions]
    return twin
