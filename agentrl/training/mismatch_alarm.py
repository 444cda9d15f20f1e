"""Says when engine and learner disagree by more than rounding, and when they agree again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrl.config import RunConfig

ALARM = "alarms/mismatch"
K3_LIMITS = {"float32": 1e-6, "bfloat16": 1e-2}
"""Limit of k3 in nats per token, by `model.dtype`; docs/engines.md has the noise it lies above."""

TRUNCATION = (
    "truncated sampling (`rollout.top_p`, `rollout.top_k`, a server's defaults), whose log-probs "
    "are not those of the whole distribution"
)
CAUSES = (
    "weights, or cached keys and values, that are not the learner's (an update that failed)",
    "another chat template or tokenizer on one side",
    TRUNCATION,
    "bfloat16 on one side only",
)
"""Most likely first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still taken for rounding.

    Attributes:
        k3: KL(engine || learner) in nats per token.
        mean: of |x|, in nats.
        outside: share of ratios outside [0.9, 1.1].
    """

    k3: float
    mean: float
    outside: float

    @classmethod
    def of(cls, k3: float) -> Limits:
        """Return the limits that belong to one of k3; for normal x the mean is 1.1 sqrt(k3)."""
        return cls(k3, math.sqrt(k3), min(2 * math.sqrt(k3), 1.0))

    def exceeded(self, found: Mapping[str, float]) -> bool:
        """Return whether a step is beyond one of them, or holds log-probs that are no numbers."""
        above = (found.get(name, 0.0) > getattr(self, name) for name in self.__slots__)
        return found.get("undefined", 0.0) > 0 or any(above)

    def compared(self, found: Mapping[str, float]) -> str:
        """Return a step's numbers, each with its limit."""
        parts = []
        if "k3" in found:
            parts.append(f"k3 {found['k3']:.2g} (limit {self.k3:.2g})")
            parts.append(f"mean {found['mean']:.2g} nats (limit {self.mean:.2g})")
        outside = f"{found['outside']:.2%} of ratios outside [0.9, 1.1]"
        parts.append(f"{outside} (limit {self.outside:.2%})")
        if found.get("undefined"):
            parts.append(f"{found['undefined']:.2%} of log-probs infinite or no number (limit 0)")
        return ", ".join(parts)


class MismatchAlarm:
    """Watches `learner/mismatch/...` step by step.

    Args:
        config: the whole configuration.
        say: told once when an alarm starts, and once when it ends.
    """

    def __init__(self, config: RunConfig, say: Callable[[str], None]) -> None:
        asked = config.engine.mismatch_alarm
        limit = K3_LIMITS[config.model.dtype] if asked is None else asked
        self._limits = Limits.of(limit) if limit else None
        self._causes = "; ".join(likely_causes(config))
        self._say = say
        self._since: int | None = None

    def watch(self, step: int, values: Mapping[str, Any]) -> dict[str, float]:
        """Return `alarms/mismatch` of a step, 0 or 1; nothing where nothing was compared."""
        prefix = "learner/mismatch/"
        found = {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
        if self._limits is None or "outside" not in found:
            return {}
        exceeded, numbers = self._limits.exceeded(found), self._limits.compared(found)
        if exceeded and self._since is None:
            self._since = step
            self._say(
                f"Warning, step {step}: engine and learner disagree: {numbers}. Likely causes, in "
                f"this order: {self._causes}. Training goes on; what to do is in docs/engines.md, "
                "section Mismatch."
            )
        elif not exceeded and self._since is not None:
            steps, self._since = step - self._since, None
            self._say(
                f"Step {step}: engine and learner agree again after {steps} steps: {numbers}."
            )
        return {ALARM: float(exceeded)}


def likely_causes(config: RunConfig) -> Sequence[str]:
    """Return the causes in order; truncation comes first where the run truncates."""
    if config.rollout.top_p == 1 and config.rollout.top_k == 0:
        return CAUSES
    return (TRUNCATION, *(cause for cause in CAUSES if cause != TRUNCATION))


def alarm_steps(metrics: Sequence[Mapping[str, Any]]) -> int | None:
    """Return how many steps of a run raised the alarm; None where nothing was watched."""
    seen = [line[ALARM] for line in metrics if line.get(ALARM) is not None]
    return sum(value > 0 for value in seen) if seen else None
