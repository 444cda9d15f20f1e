"""A run directory as the tools read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.config import RunConfig, load_config
from agentrl.errors import ConfigError, DataError, unknown_name
from agentrl.storage import read_forest
from agentrl.training.metrics import read_metrics
from agentrl.training.run_directory import RunDirectory
from agentrl.tree import Tree

Numbers = NDArray[np.float64]


class Run:
    """What a run has left behind.

    Args:
        path: the run directory.

    Raises:
        ConfigError: there is no run in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = RunDirectory(path)
        if not path.is_dir():
            raise ConfigError(f"There is no run directory {str(path)!r}.")
        if not self.files.config.is_file():
            raise ConfigError(
                f"{str(path)!r} is no run directory: it has no config.yaml. Name the `run_dir` of "
                "`agentrl train`."
            )

    @cached_property
    def config(self) -> RunConfig:
        """The run's settings."""
        return load_config(self.files.config)

    @cached_property
    def metrics(self) -> Sequence[Mapping[str, Any]]:
        """The lines of `metrics.jsonl`.

        Raises:
            DataError: there are none.
        """
        lines = read_metrics(self.files.metrics)
        if not lines:
            raise DataError(
                f"The run in {str(self.path)!r} has no metrics yet; wait until its first step is "
                "done."
            )
        return lines

    @property
    def columns(self) -> list[str]:
        """Names of the metrics."""
        return sorted({name for line in self.metrics for name in line} - {"step"})

    def series(self, column: str) -> dict[int, float]:
        """Return the values of a metric by step; steps without one are left out.

        Raises:
            UnknownNameError: the run has no such metric.
        """
        if column not in self.columns:
            raise unknown_name("metric", column, self.columns, f"Run: {str(self.path)!r}.")
        found = ((line["step"], line.get(column)) for line in self.metrics)
        return {step: float(value) for step, value in found if isinstance(value, int | float)}

    def rollouts(self) -> Iterator[tuple[int, Sequence[Tree]]]:
        """Yield every saved step with its trees, in order of steps.

        Raises:
            DataError: none were saved, or a file is damaged.
        """
        paths = sorted((self.path / "rollouts").glob("step-*.jsonl"))
        if not paths:
            raise DataError(
                f"The run in {str(self.path)!r} has saved no rollouts; train with "
                "`checkpoint.rollouts_every` greater than 0."
            )
        for path in paths:
            yield int(path.stem.removeprefix("step-")), read_forest(path).trees


def paired(*series: Mapping[int, float]) -> tuple[list[int], list[Numbers]]:
    """Return the steps at which every series has a value, and the values there."""
    steps = sorted(set.intersection(*(set(one) for one in series)))
    return steps, [np.array([one[step] for step in steps], dtype=float) for one in series]


def require_points(found: int, needed: int, what: str, advice: str) -> None:
    """Raise `DataError` where there are too few points for a fit."""
    if found < needed:
        raise DataError(f"{what}: {found} found, at least {needed} needed. {advice}")


def require(ok: bool, option: str, value: object, accepted: str) -> None:
    """Raise `ConfigError` where an option of a tool is out of range."""
    if not ok:
        raise ConfigError(f"`--{option}` is {value}; it must be {accepted}.")
