"""The options of an ALFWorld episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from agentrl.envs.alfworld.layouts import SPLITS, TASK_TYPES
from agentrl.errors import ConfigError, unknown_name


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
        _one_of("split", self.split, SPLITS)
        _one_of("reward", self.reward, ("won",))
        _one_of("engine", self.engine, ("compact", "textworld"))
        if self.task_type is not None:
            _one_of("task_type", self.task_type, TASK_TYPES)
        if type(self.max_steps) is not int or self.max_steps < 1:
            raise ConfigError(f"`max_steps` must be a positive integer; got {self.max_steps!r}.")
        if isinstance(self.win_reward, bool) or not isinstance(self.win_reward, int | float):
            raise ConfigError(f"`win_reward` must be a number; got {self.win_reward!r}.")
        if type(self.expert) is not bool:
            raise ConfigError(f"`expert` must be true or false; got {self.expert!r}.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Options:
        """Check and return options.

        Raises:
            UnknownNameError: an option or value that does not exist, with the nearest one.
            ConfigError: a value of the wrong type or out of range.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("option of an ALFWorld task", name, known)
        return cls(**values)


def _one_of(name: str, value: Any, accepted: Any) -> None:
    if value not in accepted:
        raise unknown_name(f"ALFWorld `{name}`", str(value), accepted)
