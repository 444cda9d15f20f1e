"""AdamW with clipping, a schedule, and a guard against non-finite updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from agentrl.errors import TrainingDiverged
from agentrl.learner.settings import LearnerSettings


class Optimizer:
    """Takes the optimiser steps of one training phase.

    Attributes:
        steps: optimiser steps made.
        bad_in_a_row: updates skipped since the last good one.
        bad_total: updates skipped in all.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], settings: LearnerSettings, total_steps: int = 0
    ) -> None:
        self._parameters = [p for p in parameters if p.requires_grad]
        self._settings = settings
        self._total_steps = total_steps
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self._parameters if p.dim() >= 2]},
            {"params": [p for p in self._parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(
            groups,
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.steps = 0
        self.bad_in_a_row = 0
        self.bad_total = 0

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        peak, warmup = self._settings.learning_rate, self._settings.warmup_steps
        if self.steps < warmup:
            return peak * (self.steps + 1) / warmup
        if self._settings.schedule == "constant" or self._total_steps <= warmup:
            return peak
        progress = min(1.0, (self.steps - warmup) / (self._total_steps - warmup))
        if self._settings.schedule == "linear":
            return peak * (1 - progress)
        return peak * 0.5 * (1 + math.cos(math.pi * progress))

    def step(
        self, loss: Tensor, learning_rate: float | None = None, *, counts: bool = True
    ) -> dict[str, float]:
        """Clip the accumulated gradients and step, or skip if loss or gradient is not finite.

        Args:
            loss: the scalar whose gradients have been accumulated.
            learning_rate: instead of the schedule's.
            counts: as a step of the schedule.

        Returns:
            `grad_norm` before clipping, `learning_rate` used, `skipped` (1 or 0).

        Raises:
            TrainingDiverged: `max_bad_updates` updates in a row had to be skipped.
        """
        limit = self._settings.max_grad_norm or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, limit))
        rate = self.learning_rate if learning_rate is None else learning_rate
        good = math.isfinite(norm) and math.isfinite(float(loss))
        if good:
            for group in self._adamw.param_groups:
                group["lr"] = rate
            self._adamw.step()
            self.steps += counts
            self.bad_in_a_row = 0
        self._adamw.zero_grad(set_to_none=True)
        if not good:
            self._skip(float(loss), norm)
        return {"grad_norm": norm, "learning_rate": rate, "skipped": float(not good)}

    def _skip(self, loss: float, norm: float) -> None:
        self.bad_in_a_row += 1
        self.bad_total += 1
        if self.bad_in_a_row >= self._settings.max_bad_updates:
            raise TrainingDiverged(
                f"{self.bad_in_a_row} updates in a row had a non-finite loss or gradient (the "
                f"last: loss {loss}, gradient norm {norm}). Go back to an earlier checkpoint with "
                "a lower `learner.learning_rate`; `learner.max_bad_updates` sets how many are "
                "tolerated."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return moments and counters."""
        return {
            "adamw": self._adamw.state_dict(),
            "steps": self.steps,
            "bad_in_a_row": self.bad_in_a_row,
            "bad_total": self.bad_total,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._adamw.load_state_dict(state["adamw"])
        self.steps = state["steps"]
        self.bad_in_a_row = state["bad_in_a_row"]
        self.bad_total = state["bad_total"]
