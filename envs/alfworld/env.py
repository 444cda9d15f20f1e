"""The ALFWorld environment, `agentrl/ALFWorld-v0`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from agentrl.envs.alfworld.cache import textworld_is_known
from agentrl.envs.alfworld.options import Options
from agentrl.envs.alfworld.panels import alfworld_panel, prepare_panel
from agentrl.envs.alfworld.player import CompactPlayer, Player, textworld_player
from agentrl.envs.alfworld.prompts import PROMPTS
from agentrl.envs.alfworld.source import Found, locate
from agentrl.envs.alfworld.store import compact_game
from agentrl.envs.base import Info, Placement, Prompt, TextEnv
from agentrl.errors import ConfigError
from agentrl.types import TaskPanel


class ALFWorldEnv(TextEnv):
    """An ALFWorld household task as text.

    The reward of a step is `win_reward` (10) where it solves the task, else 0.  `terminated` when
    the task is solved, `truncated` after `max_steps` (50) steps; a task cannot be lost.  A command
    counts only if it is one of the admissible ones (spaces around it aside); any other is answered
    with `Nothing happens.`, changes nothing, and sets `action_valid` to False.

    The constructor's arguments are defaults for `reset(options=...)`; both take the fields of
    `agentrl.envs.alfworld.options.Options`.  Without the option `game` a game is generated from the
    reset's seed.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (declared so by gymnasium)
    prompt: ClassVar[Prompt] = PROMPTS["step"]
    prompts: ClassVar[Mapping[str, Prompt]] = PROMPTS
    preload: ClassVar[tuple[str, ...]] = ("agentrl.envs.alfworld.store",)
    placement: ClassVar[Placement] = Placement(memory_mib=32, start_seconds=0.1, fork_process=True)

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._options = Options.read(defaults)
        self._player: Player | None = None
        self._found: Found | None = None
        self._step_count = 0
        self._paid = False

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return a task panel; see `agentrl.envs.alfworld.panels.alfworld_panel`."""
        return alfworld_panel(split, **options)

    @classmethod
    def prepare(cls, panel: TaskPanel) -> None:
        """Translate the panel's games that are not translated yet, in parallel."""
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
        found = self._found = locate(self._options, seed)
        if self._options.engine == "compact" and textworld_is_known():
            game = compact_game(found.digest, found.label, found.content)
            self._player = CompactPlayer(game)
        else:
            self._player = textworld_player(found.content(), found.label)
        self._step_count, self._paid = 0, False
        return self._player.frame().text, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Send a command to the game."""
        if self._player is None:
            raise ConfigError("`step` was called before `reset`.")
        frame = self._player.send(action.strip())
        self._step_count += 1
        reward = 0.0
        if frame.won and not self._paid:
            reward, self._paid = float(self._options.win_reward), True
        truncated = not frame.won and self._step_count >= self._options.max_steps
        return frame.text, reward, frame.won, truncated, self._info()

    def fork(self) -> ALFWorldEnv:
        """Return an independent environment in the same state."""
        if self._player is None:
            raise ConfigError("`fork` was called before `reset`.")
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._player = self._player.fork()
        return twin

    def close(self) -> None:
        """Free the game."""
        if self._player is not None:
            self._player.close()
            self._player = None

    def _info(self) -> Info:
        assert self._player is not None and self._found is not None
        frame = self._player.frame()
        info: Info = {
            "task": self._player.task,
            "admissible_actions": frame.admissible,
            "won": frame.won,
            "score": float(frame.won),
            "raw_score": int(frame.won),
            "action_valid": frame.accepted,
            "step": self._step_count,
            "task_id": self._found.label,
            "split": "generated" if self._options.game is None else self._options.split,
            "task_type": self._found.task_type,
            "anchor": frame.anchor,
            "final_answer": None,
        }
        if self._options.expert:
            info["expert_action"] = self._player.advise()
        return info
