"""The folder of a run: what lies where, who may write there, and when it is moved aside."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentrl.errors import ConfigError


class RunDirectory:
    """The files of one run.

        config.yaml      the effective configuration
        metrics.jsonl    one line per step
        rollouts/        what was sampled, one file per step
        eval/            scores and trajectories of every evaluation
        checkpoints/     models that transformers loads, with the state to go on from
        report.html      curves and transcripts, when the run has ended
        summary.json     final numbers; its presence says that the run has ended

    Args:
        path: the folder; it is made when the run starts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.report = path / "report.html"
        self.summary = path / "summary.json"

    def rollouts(self, step: int) -> Path:
        """Return the file for the rollouts of a training step."""
        return self.path / "rollouts" / f"step-{step:06d}.jsonl"

    def evaluation(self, step: int, panel: str) -> Path:
        """Return the file for the trajectories of an evaluation."""
        return self.path / "eval" / f"step-{step:06d}-{panel}.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing here; the lock ends with this process at the latest.

        Raises:
            ConfigError: another process is running this run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"`run_dir` is {str(self.path)!r}, where another process is training at this "
                    "moment. Wait for it, stop it, or choose another `run_dir`."
                ) from error
            yield

    def set_finished_aside(self, steps: int) -> Path | None:
        """Move a finished run to `<path>.old-N`, unless it is to go on to more steps.

        Returns:
            Where it is now, or None where there was none.
        """
        if not self.summary.exists():
            return None
        if json.loads(self.summary.read_text()).get("steps", 0) < steps:
            self.summary.unlink()
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        self.path.rename(aside)
        return aside

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the final numbers; the file appears whole or not at all."""
        partial = self.summary.with_suffix(".partial")
        partial.write_text(json.dumps(summary, indent=1) + "\n")
        os.replace(partial, self.summary)
