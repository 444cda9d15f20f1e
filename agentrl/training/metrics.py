"""Metrics of a run: one JSON line per step, TensorBoard, and optionally Weights & Biases."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrl.errors import DataError, MissingExtraError


class MetricsLog:
    """Appends metrics to `metrics.jsonl` and to the optional trackers.

    Args:
        run_dir: the run directory.
        resume_step: lines after this step are dropped, because their steps will be done again;
            None starts a new file.
        tensorboard: write event files under `tensorboard/`.
        wandb: log to Weights & Biases (extra `wandb`).
        config: shown by the trackers.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        resume_step: int | None = None,
        tensorboard: bool = True,
        wandb: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = run_dir / "metrics.jsonl"
        kept = [] if resume_step is None else self._lines_until(resume_step)
        _replace_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")
        self._board = _tensorboard(run_dir, resume_step) if tensorboard else None
        self._wandb = _wandb(run_dir, config or {}) if wandb else None

    def _lines_until(self, step: int) -> list[dict[str, Any]]:
        return [line for line in read_metrics(self.path) if line["step"] <= step]

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Log the values of one step; numbers that are not finite are written as null."""
        line = {"step": step} | {key: _plain(value) for key, value in values.items()}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        numbers = {k: v for k, v in line.items() if isinstance(v, int | float) and k != "step"}
        if self._board is not None:
            for key, value in numbers.items():
                self._board.add_scalar(key, value, step)
        if self._wandb is not None:
            self._wandb.log(numbers, step=step)

    def close(self) -> None:
        """Flush and close every tracker."""
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`; a last line cut short by a kill is left out.

    Raises:
        DataError: any other line is damaged.
    """
    if not path.exists():
        return []
    rows = path.read_text(encoding="utf-8").splitlines()
    lines = []
    for number, row in enumerate(rows, start=1):
        try:
            lines.append(json.loads(row))
        except ValueError as error:
            if number == len(rows):
                break
            raise DataError(f"{path.name}, line {number} is not JSON.") from error
    return lines


def _plain(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _replace_text(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _tensorboard(run_dir: Path, resume_step: int | None) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    # Whatever a killed process has logged beyond this step is logged again.
    purge = 0 if resume_step is None else resume_step + 1
    return SummaryWriter(str(run_dir / "tensorboard"), purge_step=purge)


def _wandb(run_dir: Path, config: Mapping[str, Any]) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise MissingExtraError(
            "`wandb=true` needs the package wandb; install it with `pip install 'agentrl[wandb]'`."
        ) from error
    return wandb.init(dir=str(run_dir), config=dict(config), resume="allow")
