"""The options of an ALFWorld episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentrl.envs.alfworld.layouts import SPLITS, TASK_TYPES
from agentrl.envs.options import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    read_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `reset(options=...)` accepts.

    Without `game` a generated game is played, made from the reset's seed.
    """

    game: str | None = None
    """Id of a published game: `<type>-<object>-<movable>-<target>-<scene>/<trial>`."""
    split: str = "train"
    """Split in which the game lies."""
    digest: str | None = None
    """Refuse the game if its content has another digest."""
    data_dir: str | None = None
    """Where the games lie; see `agentrl data alfworld`."""
    task_type: str | None = None
    """Task type of a generated game; None draws one."""
    max_steps: int = 50
    """Agent steps after which the episode is truncated."""
    reward: Literal["won"] = "won"
    """`win_reward` at the step that solves the task, else 0."""
    win_reward: float = 10.0
    """Reward of the step that solves the task."""
    expert: bool = False
    """Put `expert_action` into `info`."""
    engine: Literal["compact", "textworld"] = "compact"
    """`compact`: our engine, with the same texts; `textworld`: TextWorld's `PddlEnv`, which also
    plays where TextWorld is not a 1.7 release."""

    def __post_init__(self) -> None:
        check_choice("ALFWorld", "split", self.split, SPLITS)
        check_choice("ALFWorld", "reward", self.reward, ("won",))
        check_choice("ALFWorld", "engine", self.engine, ("compact", "textworld"))
        if self.task_type is not None:
            check_choice("ALFWorld", "task_type", self.task_type, TASK_TYPES)
        check_integer("max_steps", self.max_steps)
        check_number("win_reward", self.win_reward)
        check_flag("expert", self.expert)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Options:
        """Check and return options.

        Raises:
            UnknownNameError: an option or value that does not exist, with the nearest one.
            ConfigError: a value of the wrong type or out of range.
        """
        return read_options(cls, values, "ALFWorld")
