"""The original packages, driven directly, for `environments.py`: `reset()` and `step(action)`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, Protocol

from agentrl.envs.alfworld.options import Options as ALFWorldOptions
from agentrl.envs.alfworld.source import locate
from agentrl.envs.textworld import Options as TextWorldOptions
from agentrl.envs.textworld.store import ensure
from agentrl.types import Task


class Raw(Protocol):
    """An original."""

    def reset(self) -> object:
        """Start the task."""

    def step(self, action: str) -> object:
        """Act."""

    def close(self) -> None:
        """Free what it holds."""


class RawTextWorld:
    """`textworld.start` on the compiled game, with the `EnvInfos` that our `prose` asks for."""

    def __init__(self, task: Task) -> None:
        import textworld

        path = ensure(TextWorldOptions.read(task.options).spec(task.seed), "prose")
        wanted = ("score", "won", "lost", "max_score", "moves", "facts", "objective")
        infos = textworld.EnvInfos(admissible_commands=True, **dict.fromkeys(wanted, True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._game = textworld.start(str(path), request_infos=infos)
        self.reset, self.step, self.close = self._game.reset, self._game.step, self._game.close


class RawPddl:
    """TextWorld's `PddlEnv`, which the `alfworld` package wraps, with its admissible commands."""

    def __init__(self, task: Task) -> None:
        import textworld
        from textworld.envs import PddlEnv

        content = locate(ALFWorldOptions.read(task.options), task.seed).content()
        self._env = PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True))
        self._content = dict(content)
        self._quietly(lambda: self._env.load(self._content))

    def reset(self) -> object:
        """Start the game."""
        return self._quietly(self._env.reset)

    def step(self, action: str) -> object:
        """Send a command."""
        return self._env.step(action)

    def close(self) -> None:
        """Unload the planner."""
        import fast_downward

        fast_downward.close_lib(self._env.downward_lib)

    def _quietly(self, action: Callable[[], Any]) -> Any:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return action()


class RawScienceWorld:
    """The `scienceworld` package's environment.

    Args:
        task: which task and variation.
        whole: its own `step`, which lists the valid actions; else `server.step`, and the values
            that our observation has (score, completed, moves, look, inventory).
    """

    def __init__(self, task: Task, whole: bool) -> None:
        from scienceworld import ScienceWorldEnv

        self._env = ScienceWorldEnv("", envStepLimit=10**6)
        self._task, self._whole = task, whole

    def reset(self) -> object:
        """Load the task and start it."""
        self._env.load(self._task.options["task"], self._task.options["variation"], "")
        return self._env.reset()

    def step(self, action: str) -> object:
        """Act, and ask for what our observation has."""
        if self._whole:
            return self._env.step(action)
        server = self._env.server
        answer = server.step(action)
        return (
            answer,
            server.getScore(),
            server.getCompleted(),
            server.getNumMoves(),
            self._env.look(),
            self._env.inventory(),
        )

    def close(self) -> None:
        """End its Java process."""
        self._env.close()
