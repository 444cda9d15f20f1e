"""Which tasks of a split are played: all of them, or a sample as published evaluations draw it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from agentrl.errors import ConfigError
from agentrl.types import Task, TaskPanel

Protocol = Literal["exact", "compatible"]
PROTOCOLS: tuple[Protocol, ...] = ("exact", "compatible")

DRAWS = 128
"""Validation tasks of the published scripts (langfengQ/verl-agent: examples, `val_data_size`)."""

TEMPERATURE = 0.4
"""Validation temperature of the published scripts, with sampling on."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the published evaluation of an environment draws its tasks.

    Attributes:
        replacement: whether a task may be drawn twice.
        source: where that is to be seen.
    """

    replacement: bool
    source: str


PUBLISHED: Mapping[str, Sampling] = {
    "agentrl/ALFWorld-v0": Sampling(
        True, "verl-agent: every worker walks its own random permutation of all games"
    ),
    "agentrl/WebShop-v0": Sampling(
        False, "verl-agent: one generator chooses among the goals without replacement"
    ),
    "agentrl/ScienceWorld-v0": Sampling(
        True, "EPO: every worker draws its task from a generator of its own"
    ),
}


def apply_protocol(panel: TaskPanel, protocol: Protocol, *, draws: int, seed: int) -> TaskPanel:
    """Return the panel that the protocol plays.

    `exact` is the panel itself: every task once, in its order.  `compatible` is a sample of it, in
    which the id of a task is followed by the number of its draw; it is another panel with another
    hash.  The published scripts' own draws cannot be had: they depend on the file order of a disk
    and on worker seeds.

    Args:
        panel: all tasks of the split.
        protocol: `exact` or `compatible`.
        draws: size of the sample.
        seed: of the sample.

    Raises:
        ConfigError: nothing is published for the environment, or the sample is larger than what
            it is drawn from without replacement.
    """
    if protocol == "exact" or not panel:
        return panel
    sampling = PUBLISHED.get(panel[0].env_id.rpartition(":")[2])
    if sampling is None:
        raise ConfigError(
            f"No published evaluation of {panel[0].env_id!r} samples its tasks; use "
            "`--protocol exact`. `compatible` is for " + ", ".join(PUBLISHED) + "."
        )
    if draws < 1 or (not sampling.replacement and draws > len(panel)):
        raise ConfigError(f"`--draws` is {draws}; it must be 1 to {len(panel)} here.")
    rng = random.Random(seed)
    tasks = list(panel.tasks)
    chosen = rng.choices(tasks, k=draws) if sampling.replacement else rng.sample(tasks, draws)
    return TaskPanel.of(f"{panel.name}-compatible", map(_numbered, range(draws), chosen))


def _numbered(draw: int, task: Task) -> Task:
    return replace(task, id=f"{task.id}~{draw}")
