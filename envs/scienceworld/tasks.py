"""The 30 tasks of ScienceWorld and how their variations are split.

Facts about `scienceworld` 1.2.3, kept here so that panels need no Java; a test compares them with
the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentrl.errors import unknown_name

SPLITS = ("train", "dev", "test")

HELD_OUT_BY_EPO = frozenset(("1-4", "2-3", "3-4", "4-3", "5-1", "6-3", "7-3", "8-2", "9-3", "10-2"))
"""Ids of the tasks that EPO's L2 split tests on; it trains on the others."""

UNUSED_BY_EPO = frozenset(("2-1",))
"""Ids of the tasks (`use-thermometer`) that are in none of EPO's lists."""

UNUSED_BY_AGENTGYM = frozenset(("5-1", "5-2", "9-1", "9-2", "9-3", "10-1", "10-2"))
"""Ids of the tasks that AgentGym leaves out
(WooooDyy/AgentGym: agentenv-sciworld/agentenv_sciworld/environment.py).
"""

_ELECTRICAL = ("power-component", "conductivity")


@dataclass(frozen=True, slots=True)
class ScienceTask:
    """One of the 30 tasks.

    Attributes:
        index: position in the alphabetical list of names, as `get_task_names()` of the package.
        name: for example `find-living-thing`.
        id: for example `4-1`; the part before the hyphen is the group of the paper.
        topic: for example `Classification`.
        variations: number of variations; they are numbered from 0.
    """

    index: int
    name: str
    id: str
    topic: str
    variations: int

    @property
    def electrical(self) -> bool:
        """Whether the task needs the actions `connect` and `disconnect`."""
        return any(word in self.name for word in _ELECTRICAL)

    def split(self, name: str) -> range:
        """Return the variations of a split.

        The package cuts the variations into quarters of `variations // 4`: the first two are
        train, the third is dev, all that remain are test (getSets in allenai/ScienceWorld:
        simulator/src/main/scala/scienceworld/runtime/pythonapi/PythonInterface.scala).
        """
        quarter = self.variations // 4
        return {
            "train": range(2 * quarter),
            "dev": range(2 * quarter, 3 * quarter),
            "test": range(3 * quarter, self.variations),
        }[name]


_TABLE = (
    ("boil", "1-1", "Matter", 30),
    ("change-the-state-of-matter-of", "1-4", "Matter", 30),
    ("chemistry-mix", "6-1", "Chemistry", 32),
    ("chemistry-mix-paint-secondary-color", "6-2", "Chemistry", 36),
    ("chemistry-mix-paint-tertiary-color", "6-3", "Chemistry", 36),
    ("find-animal", "4-4", "Classification", 300),
    ("find-living-thing", "4-1", "Classification", 300),
    ("find-non-living-thing", "4-2", "Classification", 300),
    ("find-plant", "4-3", "Classification", 300),
    ("freeze", "1-3", "Matter", 30),
    ("grow-fruit", "5-2", "Biology", 126),
    ("grow-plant", "5-1", "Biology", 126),
    ("identify-life-stages-1", "8-1", "Biology", 14),
    ("identify-life-stages-2", "8-2", "Biology", 10),
    ("inclined-plane-determine-angle", "9-1", "Forces", 168),
    ("inclined-plane-friction-named-surfaces", "9-2", "Forces", 1386),
    ("inclined-plane-friction-unnamed-surfaces", "9-3", "Forces", 162),
    ("lifespan-longest-lived", "7-1", "Biology", 125),
    ("lifespan-longest-lived-then-shortest-lived", "7-3", "Biology", 125),
    ("lifespan-shortest-lived", "7-2", "Biology", 125),
    ("measure-melting-point-known-substance", "2-2", "Measurement", 436),
    ("measure-melting-point-unknown-substance", "2-3", "Measurement", 300),
    ("melt", "1-2", "Matter", 30),
    ("mendelian-genetics-known-plant", "10-1", "Biology", 120),
    ("mendelian-genetics-unknown-plant", "10-2", "Biology", 480),
    ("power-component", "3-1", "Electricity", 20),
    ("power-component-renewable-vs-nonrenewable-energy", "3-2", "Electricity", 20),
    ("test-conductivity", "3-3", "Electricity", 900),
    ("test-conductivity-of-unknown-substances", "3-4", "Electricity", 600),
    ("use-thermometer", "2-1", "Measurement", 540),
)

TASKS: Mapping[str, ScienceTask] = {
    row[0]: ScienceTask(index, *row) for index, row in enumerate(_TABLE)
}
"""The tasks by name, in the order of `index`."""

_BY_ID = {task.id: task for task in TASKS.values()}


def find_task(name_or_id: str) -> ScienceTask:
    """Return the task of a name such as `boil` or an id such as `1-1`.

    Raises:
        UnknownNameError: there is none; the message holds the nearest name.
    """
    task = TASKS.get(name_or_id) or _BY_ID.get(name_or_id)
    if task is None:
        raise unknown_name("ScienceWorld task", str(name_or_id), [*TASKS, *_BY_ID])
    return task
