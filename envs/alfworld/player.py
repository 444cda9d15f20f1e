"""What plays a game for the environment: our engine, or TextWorld's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agentrl.envs.alfworld.engine import NOTHING, CompactGame, State
from agentrl.envs.alfworld.expert import Expert
from agentrl.envs.extras import require

_TASK = "Your task is to: "


@dataclass(frozen=True, slots=True)
class Frame:
    """The situation after a reset or a command.

    Attributes:
        text: the observation.
        admissible: sorted commands that count.
        accepted: the last command was one of them.
        won: the goal holds.
        anchor: equal for equal states of the same game.
    """

    text: str
    admissible: list[str]
    accepted: bool
    won: bool
    anchor: str


class Player(Protocol):
    """One running game."""

    task: str
    """Goal sentence."""

    def frame(self) -> Frame:
        """Return the current situation."""

    def send(self, command: str) -> Frame:
        """Carry a command out; one that is not admissible changes nothing."""

    def advise(self) -> str | None:
        """Return the expert's command, if it has one."""

    def fork(self) -> Player:
        """Return an independent player in the same state."""

    def close(self) -> None:
        """Free what the player holds."""


class Script:
    """The game's walkthrough, for as long as it has been followed exactly.

    Args:
        commands: the walkthrough.
    """

    def __init__(self, commands: list[str]) -> None:
        self._commands, self._done = commands, 0

    def follow(self, command: str) -> None:
        """Take note of a command that was carried out."""
        self._done = self._done + 1 if command == self.next() else len(self._commands)

    def next(self) -> str | None:
        """Return the next command; None at the end or once it was not followed."""
        return self._commands[self._done] if self._done < len(self._commands) else None

    def copy(self) -> Script:
        """Return an independent copy."""
        twin = Script(self._commands)
        twin._done = self._done
        return twin


class CompactPlayer:
    """Plays with our engine.

    Args:
        game: the game, shared with other players.
    """

    def __init__(self, game: CompactGame) -> None:
        self._game = game
        self._state: State = game.initial
        self._script = Script(game.walkthrough)
        self._expert = Expert(game, game.aim) if game.aim else None
        text = game.introduction()
        self.task = goal_sentence(text)
        self._commands: dict[str, int] = {}
        self._frame = self._look(text)

    def frame(self) -> Frame:
        """Return the current situation."""
        return self._frame

    def send(self, command: str) -> Frame:
        """Carry a command out."""
        number = self._commands.get(command)
        if number is None:
            old = self._frame
            self._frame = Frame(NOTHING, old.admissible, False, old.won, old.anchor)
            return self._frame
        self._state = self._game.apply(self._state, number)
        self._script.follow(command)
        self._frame = self._look(self._game.feedback(self._state, number))
        return self._frame

    def advise(self) -> str | None:
        """Return the expert's command; the walkthrough's where the goal is of another form."""
        if self._frame.won:
            return None
        advice = self._expert.advise(self._state, self._commands) if self._expert else None
        return advice or self._script.next()

    def fork(self) -> CompactPlayer:
        """Return an independent player in the same state: a copy of a few references."""
        twin = object.__new__(CompactPlayer)
        twin.__dict__.update(self.__dict__)
        twin._script = self._script.copy()
        return twin

    def close(self) -> None:
        """Nothing to free."""

    def _look(self, text: str) -> Frame:
        game, state = self._game, self._state
        self._commands = game.commands(state)
        return Frame(text, sorted(self._commands), True, game.won(state), game.anchor(state))


def goal_sentence(introduction: str) -> str:
    """Return what follows `Your task is to: ` in a first observation."""
    return introduction.partition(_TASK)[2].strip() or introduction.strip().split("\n")[-1]


def textworld_player(content: Mapping[str, Any], label: str) -> Player:
    """Return a player of TextWorld's own engine; TextWorld is only imported here."""
    require("fast_downward", extra="alfworld", needed_for="agentrl/ALFWorld-v0")
    from agentrl.envs.alfworld.plain import TextWorldPlayer

    return TextWorldPlayer(content, label)
