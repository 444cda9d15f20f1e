"""Plays with TextWorld's own engine, `textworld.envs.PddlEnv`, unchanged.

The reference for our engine (`engine`).  A reset takes about a second and a step 50 ms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import textworld
from textworld.envs import PddlEnv

from agentrl.envs.alfworld.names import readable_names
from agentrl.envs.alfworld.player import Frame, Script, goal_sentence
from agentrl.envs.alfworld.translation import quiet
from agentrl.errors import DataError

_idle: list[PddlEnv] = []
"""Environments to be used again.

Each has a copy of the planner's library of its own.  Unloading it (`fast_downward.close_lib`)
crashes the process when it ends, so libraries stay loaded.
"""


class TextWorldPlayer:
    """Plays a game.

    Args:
        content: the game.
        label: what to call it in errors.

    Raises:
        DataError: TextWorld cannot load it.
    """

    def __init__(self, content: Mapping[str, Any], label: str) -> None:
        self._content, self._label = content, label
        self._sent: list[str] = []
        self._script = Script(list(content.get("walkthrough") or []))
        wanted = textworld.EnvInfos(won=True, admissible_commands=True)
        self._env = _idle.pop() if _idle else PddlEnv(wanted)
        try:
            with quiet():
                self._env.load(dict(content))
                self._rename()
                state = self._env.reset()
        except (Exception, SystemExit) as error:  # the translator exits on a syntax error
            self.close()
            raise DataError(f"TextWorld cannot load ALFWorld game {label!r}: {error!r}") from error
        self.task = goal_sentence(state.feedback)
        self._take(state, True)

    def frame(self) -> Frame:
        """Return the current situation."""
        return self._frame

    def send(self, command: str) -> Frame:
        """Carry a command out."""
        accepted = command in self._frame.admissible
        state, _, _ = self._env.step(command)
        self._sent.append(command)
        if accepted:
            self._script.follow(command)
        self._take(state, accepted)
        return self._frame

    def advise(self) -> str | None:
        """Return the walkthrough's next command while it is followed; there is no other expert."""
        return None if self._frame.won else self._script.next()

    def fork(self) -> TextWorldPlayer:
        """Return an independent player in the same state, by replay."""
        twin = TextWorldPlayer(self._content, self._label)
        for command in self._sent:
            twin.send(command)
        return twin

    def close(self) -> None:
        """Leave the environment to the next player."""
        if self._env is not None:
            _idle.append(self._env)
            self._env = None

    def _rename(self) -> None:
        names = readable_names(info.id for info in self._env._entity_infos.values())
        for info in self._env._entity_infos.values():
            info.name = names[info.id]

    def _take(self, state: Any, accepted: bool) -> None:
        facts = sorted(str(fact) for fact in state["_facts"] if fact.name != "checked")
        self._frame = Frame(
            text=state.feedback,
            admissible=list(state["admissible_commands"]),
            accepted=accepted,
            won=bool(state["won"]),
            anchor=hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16],
        )
