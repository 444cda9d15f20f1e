"""Self-imitation: settings of a buffer of earlier rows that did better than usual.

`agentrl.algorithms.memory.replay_buffer` has the buffer; it belongs to the learner, which also
knows what a row is.  R is a row's return, A~ its advantage when it is replayed, b and s the medians
(P50) of the recent group means and group deviations of returns, gamma the weight of the replay
loss.

Source: SPEAR, TencentYoutuResearch/SPEAR:verl-agent/verl/trainer/ppo/ray_trainer_hybrid.py,
`TrajectoryBufferBatch`.  The trees `verl-agent` and `verl` differ; each setting names its readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.memory.replay_buffer import ReplayBuffer
from agentrl.algorithms.slots import Weight
from agentrl.algorithms.statistics import Statistic
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


def warmup_weight(step: int, coefficient: float, steps: int) -> float:
    """Return gamma = coefficient (1 - cos(pi step / steps)) / 2, and coefficient after `steps`.

    Source: TencentYoutuResearch/SPEAR:verl-agent/verl/workers/actor/dp_actor.py, `update_policy`.
    """
    share = min(step / steps, 1.0) if steps else 1.0
    return coefficient * (1 - math.cos(math.pi * share)) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Settings of a replay buffer and of the loss on what it gives back.

    The loss of replayed rows is that of the algorithm with their recalibrated advantages, the
    log-probs of the time they were sampled as old ones and as the engine's (for `behaviour`),
    `token_weights` in place of the algorithm's, no KL, and the factor `warmup_weight`.

    Attributes:
        buffer_rows: the buffer is used once more than `ready_factor` times as many rows have a
            return above b (with `weight_decay`: are stored); at most this many are replayed.
        baseline_groups: older updates leave the history of group means while it holds more.
        tolerate_steps: age in updates after which a row is dropped.
        coefficient: gamma after the warm-up.
        warmup_steps: S_r, updates over which gamma rises from 0.
        weight_decay: None recalibrates, A~ = R - b; a number in (0, 1] takes the stored advantage
            times it instead.
        scale: `none`, or `median` to divide A~ by s + 1e-6.
        keep: `positive` replays A~ > 0 (paper, verl tree); `not-negative` A~ >= 0 (verl-agent).
        expiry: `replay` drops rows older than `tolerate_steps` when they would be replayed;
            `push` only before a push, counted from the newest push in the buffer (released code,
            where rows can be one or two updates older when replayed).
        group_std: `population` (verl-agent) or `sample` (verl) deviation of a group's returns.
        needs_tool_call: store only rows of episodes with a tool call (released maths runs); reads
            the component `tool_calls`.
        ready_factor: see `buffer_rows`.
        power_of_two: replay the largest power of two rows that fits, as released; False replays
            as many as fit.
        updates: optimiser steps made from one replay.
        token_weights: factors of the replay loss, such as covariance clipping.
    """

    buffer_rows: int = 2048
    baseline_groups: int = 10240
    tolerate_steps: int = 10
    coefficient: float = 1.0
    warmup_steps: int = 200
    weight_decay: float | None = None
    scale: str = "none"
    keep: str = "positive"
    expiry: str = "replay"
    group_std: str = "population"
    needs_tool_call: bool = False
    ready_factor: float = 1.5
    power_of_two: bool = True
    updates: int = 1
    token_weights: tuple[Weight, ...] = ()

    def __post_init__(self) -> None:
        for name in ("buffer_rows", "baseline_groups", "updates"):
            in_range(f"replay.{name}", getattr(self, name), 1)
        for name in ("tolerate_steps", "coefficient", "warmup_steps", "ready_factor"):
            in_range(f"replay.{name}", getattr(self, name), 0)
        if self.weight_decay is not None:
            in_range("replay.weight_decay", self.weight_decay, 0, 1, open_low=True)
        one_of("replay.scale", self.scale, ("none", "median"))
        one_of("replay.keep", self.keep, ("positive", "not-negative"))
        one_of("replay.expiry", self.expiry, ("replay", "push"))
        one_of("replay.group_std", self.group_std, ("population", "sample"))

    @property
    def requires(self) -> frozenset[Statistic]:
        """Log-probs at collection time, and what the weights of the replay loss read."""
        own: frozenset[Statistic] = frozenset({Stat.LOGPROBS, Stat.OLD_LOGPROBS})
        return own.union(*(weight.requires for weight in self.token_weights))

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` where the replay loss reads what is not stored with a row."""
        missing = {str(stat) for stat in self.loss(algorithm).requires - _KNOWN}
        if missing:
            raise ConfigError(
                f"`replay` keeps only the log-probs of earlier rows, but their loss would read "
                f"{', '.join(sorted(missing))}; use slots that read none of it, or no `replay`."
            )

    def loss(self, algorithm: Algorithm) -> Algorithm:
        """Return the algorithm of replayed rows: `algorithm` with the slots of the replay loss."""
        bonus = tuple(term for term in algorithm.regularisers if term.name == "entropy_bonus")
        return replace(
            algorithm,
            prompt=None,
            rollout=None,
            reward=None,
            reward_shaping=(),
            group_filter=None,
            advantage=_Given(),
            transforms=(),
            sample_filters=(),
            late_transforms=(),
            token_weights=self.token_weights,
            regularisers=bonus,
            controllers=(),
            replay=None,
            memory=None,
        )

    def weight(self, step: int) -> float:
        """Return gamma, the factor of the replay loss in update `step`."""
        return warmup_weight(step, self.coefficient, self.warmup_steps)

    def start(self) -> ReplayBuffer[Any]:
        """Return an empty buffer."""
        return ReplayBuffer(self)


_KNOWN = frozenset(
    {
        Stat.LOGPROBS, Stat.OLD_LOGPROBS, Stat.ROLLOUT_LOGPROBS, Stat.ENTROPY, Stat.ENTROPY_GRAD,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Given:
    """Advantages are there already."""

    requires: ClassVar[frozenset[Statistic]] = frozenset()

    def __call__(self, batch: Batch) -> Batch:
        return batch
