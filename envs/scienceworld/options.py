"""The options of a ScienceWorld episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentrl.envs.options import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    read_options,
)
from agentrl.envs.scienceworld.tasks import ScienceTask, find_task
from agentrl.errors import ConfigError, unknown_name

SIMPLIFICATIONS = (
    "noElectricalAction",
    "openContainers",
    "openDoors",
    "selfWateringFlowerPots",
    "teleportAction",
)
"""What can be made simpler, besides the preset `easy`."""

_EASY = ("openDoors", "selfWateringFlowerPots", "teleportAction")
_NO_ELECTRICITY = "noElectricalAction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `reset(options=...)` accepts."""

    task: str = "boil"
    """Name, for example `find-living-thing`, or id, for example `4-1`."""
    variation: int = 0
    """Number of the variation of the task."""
    simplifications: str = ""
    """Names joined by commas, or a list of them: `easy`, `noElectricalAction`, `openContainers`,
    `openDoors`, `selfWateringFlowerPots`, `teleportAction`.  `easy` stands for open doors,
    self-watering flower pots and teleporting, and no electrical actions where the task needs
    none."""
    max_steps: int = 30
    """Agent steps after which the episode is truncated."""
    native_step_limit: int | None = None
    """Also end the episode once the simulator's own clock is beyond this; the package's default is
    100.  The clock stands still for invalid and free actions and runs 11 for `wait`."""
    reward: Literal["won", "score_delta"] = "won"
    """`won`: `win_reward` at the end of a won episode; `score_delta`: the change of `score`, so
    that the rewards of an episode add up to its score and a mistake takes back what was earned."""
    win_reward: float = 10.0
    """What winning pays if `reward` is `won`."""
    win: Literal["full_score", "positive_score"] = "full_score"
    """`full_score`: won at 100 points; `positive_score`: won when the episode ends by itself with
    any points, the rule of EPO, which with a `native_step_limit` counts part solutions."""
    admissible: bool = False
    """List all valid actions in `admissible_actions`: 20 to 2740 of them, 35 to 500 ms a step."""
    observation: Literal["full", "short"] = "full"
    """`full`: the simulator's text; `short`: its answer and the room in one line."""
    expert: bool = False
    """Put `expert_action`, the next action of the simulator's own solution, into `info`."""
    simulator: str | None = None
    """Refuse to play with another simulator than this version and content digest."""

    def __post_init__(self) -> None:
        task = find_task(self.task)
        _check_variation(task, self.variation)
        object.__setattr__(self, "simplifications", canonical(self.simplifications, task))
        check_integer("max_steps", self.max_steps)
        check_integer("native_step_limit", self.native_step_limit, optional=True)
        check_choice("ScienceWorld", "reward", self.reward, ("won", "score_delta"))
        check_choice("ScienceWorld", "win", self.win, ("full_score", "positive_score"))
        check_choice("ScienceWorld", "observation", self.observation, ("full", "short"))
        check_flag("admissible", self.admissible)
        check_flag("expert", self.expert)
        check_number("win_reward", self.win_reward)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Options:
        """Check flat options.

        Raises:
            UnknownNameError: an option, task or simplification that does not exist, with the
                nearest one.
            ConfigError: a value of the wrong type or out of range.
        """
        return read_options(cls, values, "ScienceWorld")

    @property
    def science_task(self) -> ScienceTask:
        """The task."""
        return find_task(self.task)

    @property
    def in_force(self) -> str:
        """The simplifications with `easy` spelt out, sorted."""
        names = set(self.simplifications.split(",")) - {""}
        if "easy" in names:
            names = _expanded(names, self.science_task)
        return ",".join(sorted(names))


def canonical(simplifications: str | Iterable[str], task: ScienceTask) -> str:
    """Return simplifications as the simulator takes them: without repetitions, sorted.

    `easy` is left as it is if it is the only one, and spelt out otherwise, because the simulator
    knows it only alone.

    Raises:
        UnknownNameError: one does not exist.
        ConfigError: one takes actions away that the task needs.
    """
    if isinstance(simplifications, str):
        simplifications = simplifications.split(",")
    names = {name.strip() for name in simplifications} - {""}
    for name in sorted(names):
        if name not in ("easy", *SIMPLIFICATIONS):
            raise unknown_name("ScienceWorld simplification", name, ["easy", *SIMPLIFICATIONS])
    if task.electrical and _NO_ELECTRICITY in names:
        raise ConfigError(
            f"Task {task.name!r} needs electrical actions, but `simplifications` has "
            f"`{_NO_ELECTRICITY}`; leave it out (`easy` does so by itself)."
        )
    if "easy" in names and len(names) > 1:
        names = _expanded(names, task)
    return ",".join(sorted(names))


def _expanded(names: set[str], task: ScienceTask) -> set[str]:
    electricity = set() if task.electrical else {_NO_ELECTRICITY}
    return (names - {"easy"}) | set(_EASY) | electricity


def _check_variation(task: ScienceTask, variation: Any) -> None:
    if type(variation) is not int or not 0 <= variation < task.variations:
        raise ConfigError(
            f"`variation` of task {task.name!r} must be an integer from 0 to "
            f"{task.variations - 1}; got {variation!r}."
        )
