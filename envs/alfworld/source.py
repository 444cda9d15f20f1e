"""Which game an episode plays, and where its content comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentrl.envs.alfworld.data import read_game
from agentrl.envs.alfworld.generated import generated_game
from agentrl.envs.alfworld.layouts import Game, content_digest
from agentrl.envs.alfworld.options import Options
from agentrl.errors import DataError


@dataclass(frozen=True, slots=True)
class Found:
    """A game to be played.

    Attributes:
        digest: of its content.
        label: its id.
        task_type: one of `layouts.TASK_TYPES`.
        content: reads the content; for published games this needs the data.
    """

    digest: str
    label: str
    task_type: str
    content: Callable[[], Mapping[str, Any]]


def locate(options: Options, seed: int) -> Found:
    """Return the game that options and a seed describe.

    Raises:
        DataError: there is no such game, or its content is not what the task was made for.
    """
    if options.game is None:
        game = generated_game(seed, options.task_type)
        digest = content_digest(game.content)
        if options.digest not in (None, digest):
            raise DataError(
                f"Generated ALFWorld game {game.id!r} has content {digest}, but the task was made "
                f"for {options.digest} by another version of AgentRL; make the panel anew."
            )
        return Found(digest, game.id, game.task_type, lambda: game.content)
    name = options.game

    def content() -> Mapping[str, Any]:
        return read_game(options.split, name, options.digest, options.data_dir)

    task_type = Game(name, {}).task_type
    if options.digest is not None:  # a stored translation of that content needs no data
        return Found(options.digest, name, task_type, content)
    read = content()
    return Found(content_digest(read), name, task_type, lambda: read)
