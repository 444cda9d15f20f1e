"""What a TextWorld back end gives the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Frame:
    """The situation after a reset or a command.

    Attributes:
        text: what the player sees.
        admissible: sorted commands that would have an effect; None if the game cannot tell.
        accepted: the last command was understood and carried out.
        score: points so far.
        max_score: points of a perfect play; None if unknown.
        won: the game is solved.
        lost: the game can no longer be solved and is over.
        anchor: equal for equal states of the same game.
    """

    text: str
    admissible: list[str] | None
    accepted: bool
    score: int
    max_score: int | None
    won: bool
    lost: bool
    anchor: str


class Player(Protocol):
    """One running game."""

    goal: str
    """Short goal sentence that does not give the route away."""

    objective: str
    """TextWorld's own objective text, which may spell the route out."""

    walkthrough: list[str]
    """The generator's own solution; empty if the game has none."""

    def frame(self) -> Frame:
        """Return the current situation."""

    def send(self, command: str) -> Frame:
        """Carry a command out."""

    def expert_commands(self) -> list[str] | None:
        """Return commands that win from here, or None if the game cannot tell."""

    def fork(self) -> Player:
        """Return an independent player in the same state."""

    def close(self) -> None:
        """Free the interpreter, if any."""


def open_player(path: Path, backend: str) -> Player:
    """Start a game.

    TextWorld (a second to import, with native code) is only imported here, so that the
    environment's class can be read in any process.

    Raises:
        ConfigError: the file's format cannot be played.
    """
    if backend == "facts":
        from agentrl.envs.textworld.facts import FactsPlayer

        facts: Player = FactsPlayer(path)
        return facts
    if path.suffix.startswith(".z"):
        from agentrl.envs.textworld.prose import ProsePlayer

        prose: Player = ProsePlayer(path)
        return prose
    raise ConfigError(
        f"`game_file` {path.name!r} cannot be played: TextWorld 1.7 plays `.json` and Z-machine "
        "files (`.z1` to `.z8`); Glulx (`.ulx`) games need to be compiled to `.z8`."
    )


LONGEST_COMMAND = 197
"""Characters that Jericho accepts."""


def printable_ascii(action: str) -> str:
    """Reduce an action to at most `LONGEST_COMMAND` printable ASCII characters on one line.

    Other characters crash the Z-machine interpreter, longer input is cut by it.  Backslashes go,
    too: they begin commands to the interpreter itself, after which it waits for more input forever.
    """
    one_line = " ".join(action.split())
    kept = (c for c in one_line if " " <= c <= "~" and c != "\\")
    return "".join(kept)[:LONGEST_COMMAND].strip()
