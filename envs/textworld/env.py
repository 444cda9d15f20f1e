"""The TextWorld environment, `agentrl/TextWorld-v0`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from agentrl.envs.base import Info, Placement, Prompt, TextEnv
from agentrl.envs.textworld.options import Options
from agentrl.envs.textworld.panels import prepare_panel, textworld_panel
from agentrl.envs.textworld.player import Frame, Player, open_player, printable_ascii
from agentrl.envs.textworld.prompts import PROMPTS
from agentrl.envs.textworld.store import ensure
from agentrl.errors import ConfigError, DataError
from agentrl.types import TaskPanel


class TextWorldEnv(TextEnv):
    """A TextWorld game.

    The reward of a step is the change of `score / max_score`, so the rewards of a solved episode
    add up to 1; a game whose points are unknown pays 1 when it is won.  `terminated` when the
    game is won or lost, `truncated` after `max_steps` steps.

    The constructor's arguments are defaults for `reset(options=...)`; both take the fields of
    `agentrl.envs.textworld.options.Options` and the settings of the game kind.  `reset(seed=...)`
    is the seed of TextWorld's generator.  Games are made on first use and cached (see `store`).
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (declared so by gymnasium)
    prompt: ClassVar[Prompt] = PROMPTS["compact"]
    prompts: ClassVar[Mapping[str, Prompt]] = PROMPTS
    preload: ClassVar[tuple[str, ...]] = ("agentrl.envs.textworld.warm",)
    placement: ClassVar[Placement] = Placement(memory_mib=16, fork_process=True)

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._options = Options.read(defaults)
        self._player: Player | None = None
        self._labels: dict[str, str] = {}
        self._step_count = 0
        self._score = 0.0

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return a task panel; see `agentrl.envs.textworld.panels.textworld_panel`."""
        return textworld_panel(split, **options)

    @classmethod
    def prepare(cls, panel: TaskPanel) -> None:
        """Generate the panel's games that are not cached yet, in parallel."""
        prepare_panel(panel)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Start the game that the options and the seed describe."""
        super().reset(seed=seed)
        self.close()
        self._options = Options.read({**self._defaults, **(options or {})})
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        path, backend = self._locate(seed)
        self._player = open_player(path, backend)
        frame = self._player.frame()
        self._step_count, self._score = 0, _normalised(frame)
        return frame.text, self._info(frame)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Send a command to the game, reduced to printable ASCII."""
        if self._player is None:
            raise ConfigError("`step` was called before `reset`.")
        frame = self._player.send(printable_ascii(action))
        self._step_count += 1
        score = _normalised(frame)
        reward, self._score = score - self._score, score
        terminated = frame.won or frame.lost
        truncated = not terminated and self._step_count >= self._options.max_steps
        return frame.text, reward, terminated, truncated, self._info(frame)

    def fork(self) -> TextWorldEnv:
        """Return an independent environment in the same state."""
        if self._player is None:
            raise ConfigError("`fork` was called before `reset`.")
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._player = self._player.fork()
        return twin

    def close(self) -> None:
        """Free the interpreter."""
        if self._player is not None:
            self._player.close()
            self._player = None

    def expert_commands(self) -> list[str] | None:
        """Return commands that win from here by TextWorld's policy; None where it has none."""
        if self._player is None:
            raise ConfigError("`expert_commands` was called before `reset`.")
        return self._player.expert_commands()

    def walkthrough(self) -> list[str]:
        """Return the generator's walkthrough from the start; empty where the game has none."""
        if self._player is None:
            raise ConfigError("`walkthrough` was called before `reset`.")
        return list(self._player.walkthrough)

    def _locate(self, seed: int) -> tuple[Path, str]:
        """Return the game file and the back end that plays it."""
        options = self._options
        if options.game_file is None:
            spec = options.spec(seed)
            self._labels = {"task_id": spec.label, "task_type": spec.task_type}
            return ensure(spec, options.backend), options.backend
        path = Path(options.game_file).expanduser()
        if not path.is_file():
            raise DataError(f"`game_file` {options.game_file!r} does not exist.")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if options.game_sha256 not in (None, found):
            raise DataError(
                f"`game_file` {options.game_file!r} has SHA-256 {found}, but the task was made "
                f"for {options.game_sha256}; restore the file or make the panel anew."
            )
        self._labels = {"task_id": path.stem, "task_type": "game_file"}
        return path, "facts" if path.suffix == ".json" else "prose"

    def _info(self, frame: Frame) -> Info:
        assert self._player is not None
        player = self._player
        info: Info = {
            "task": player.goal if self._options.objective == "short" else player.objective,
            "admissible_actions": frame.admissible,
            "won": frame.won,
            "lost": frame.lost,
            "score": self._score,
            "raw_score": frame.score,
            "action_valid": frame.accepted,
            "step": self._step_count,
            "split": "",
            "anchor": frame.anchor,
            "final_answer": None,
            **self._labels,
        }
        if self._options.expert:
            commands = None if frame.won or frame.lost else player.expert_commands()
            info["expert_action"] = commands[0] if commands else None
        return info


def _normalised(frame: Frame) -> float:
    """Return `score / max_score` in [0, 1]; whether it is won where the points are unknown."""
    if not frame.max_score:
        return float(frame.won)
    return min(1.0, max(0.0, frame.score / frame.max_score))
