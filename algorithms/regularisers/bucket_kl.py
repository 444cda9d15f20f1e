"""A KL coefficient for each difficulty that follows the KL measured there (ARES).

Source: ARES (arXiv 2510.08457); shawn0728/ARES:verl/workers/actor/dp_actor.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.episodes import counted_rows
from agentrl.algorithms.regularisers.kl import kl_estimate
from agentrl.algorithms.rewards.entropy_score import BUCKETS, Triple, buckets
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.statistics import Statistic
from agentrl.algorithms.transforms.semantic import episode_mean
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketKL:
    """Transform: leaves the KL coefficient of each row's bucket as the note `kl_weight`.

    The bucket itself is the note `bucket`, an index into `BUCKETS`.

    Attributes:
        betas: coefficient of each bucket, times that of the term.
        truth: where it learns which episodes are right.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_truth: ClassVar[bool] = True
    betas: Triple = (1.0, 1.0, 1.0)
    truth: Truth = field(default_factory=Truth)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` if the reward is self-labelled."""
        self.truth.check(self, algorithm)

    def __call__(self, batch: Batch) -> Batch:
        """Add the notes."""
        bucket_B = buckets(batch, self.truth)
        betas = torch.tensor(self.betas, dtype=torch.float64, device=bucket_B.device)
        return batch.with_notes(kl_weight=betas[bucket_B], bucket=bucket_B)


@dataclass(slots=True)
class Beta:
    """What a bucket remembers: coefficient, running mean of the KL, running mean of the error."""

    beta: float = 1.0
    kl: float | None = None
    error: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketBetas:
    """Controller: move each bucket's coefficient so that its KL comes near a target.

    kl <- decay kl + (1 - decay) measured;  e = kl / target - 1
    if |e| >= dead_zone, every `interval` updates:
        error <- decay error + (1 - decay) e;  log beta += rate clip(error, -clip, clip)

    The KL is k3 of the old policy to the reference, the mean over episodes of the mean over their
    tokens.  The released code measures the current policy in every micro-batch and counts 100 of
    these; here an update is counted.

    Attributes:
        target: wanted KL per token, in nats.
        decay: of both running means.
        rate: step in log beta.
        clip: largest error that is acted on.
        dead_zone: smallest one.
        interval: updates between steps.
        low: least beta.
        high: largest beta.
    """

    target: float = 0.01
    decay: float = 0.97
    rate: float = 0.05
    clip: float = 0.2
    dead_zone: float = 0.02
    interval: int = 1
    low: float = 1e-4
    high: float = 100.0

    def __post_init__(self) -> None:
        in_range("kl_target", self.target, 0, open_low=True)
        in_range("kl_decay", self.decay, 0, 1)
        in_range("kl_rate", self.rate, 0)
        in_range("kl_clip", self.clip, 0)
        in_range("kl_dead_zone", self.dead_zone, 0)
        in_range("kl_interval", self.interval, 1)
        in_range("kl_low", self.low, 0, self.high, open_low=True)

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` without a `BucketKL` to steer."""
        if not any(isinstance(step, BucketKL) for step in algorithm.transforms):
            raise ConfigError(
                "`controllers` holds BucketBetas, but `transforms` has no BucketKL for it to "
                "steer; add one or leave the controller out."
            )

    def step(self, state: Beta, measured: float, count: int) -> None:
        """Take in the KL of a bucket at update number `count`, from 1."""
        before = measured if state.kl is None else state.kl
        state.kl = (1 - self.decay) * measured + self.decay * before
        error = state.kl / self.target - 1
        if abs(error) < self.dead_zone or count % self.interval:
            return
        state.error = (1 - self.decay) * error + self.decay * state.error
        move = self.rate * max(-self.clip, min(self.clip, state.error))
        state.beta = math.exp(math.log(state.beta) + move)
        state.beta = max(self.low, min(self.high, state.beta))

    def start(self, algorithm: Algorithm) -> BucketState:
        """Begin with the algorithm's own coefficients."""
        steps = (step for step in algorithm.transforms if isinstance(step, BucketKL))
        first = next(steps, BucketKL())
        return BucketState(self, [Beta(beta) for beta in first.betas])


@dataclass(slots=True)
class BucketState(Controller):
    """The running part of `BucketBetas`."""

    settings: BucketBetas
    states: list[Beta]
    count: int = field(default=0)

    @property
    def requires(self) -> frozenset[Statistic]:
        """What the KL is read from."""
        return frozenset({Stat.OLD_LOGPROBS, Stat.REF_LOGPROBS})

    @property
    def betas(self) -> Triple:
        """The coefficients by bucket."""
        easy, medium, hard = (state.beta for state in self.states)
        return easy, medium, hard

    def apply(self, algorithm: Algorithm) -> Algorithm:
        """Put the coefficients in."""
        steps = tuple(
            replace(step, betas=self.betas) if isinstance(step, BucketKL) else step
            for step in algorithm.transforms
        )
        return replace(algorithm, transforms=steps)

    def take(self, measured: Sequence[float | None]) -> None:
        """Count an update with the KL of each bucket, None where it had no episode."""
        self.count += 1
        for state, value in zip(self.states, measured, strict=True):
            if value is not None:
                self.settings.step(state, value, self.count)

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        """Measure the KL of each bucket."""
        batch = batch.clean()
        old_BT, ref_BT = batch.stat(Stat.OLD_LOGPROBS), batch.stat(Stat.REF_LOGPROBS)
        kl_B = episode_mean(batch, kl_estimate(old_BT, ref_BT, "k3"))
        first_B, bucket_B = counted_rows(batch), batch.notes["bucket"]
        chosen = [kl_B[first_B & (bucket_B == number)] for number in range(len(BUCKETS))]
        self.take([float(values.mean()) if len(values) else None for values in chosen])

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"count": self.count, "buckets": [asdict(state) for state in self.states]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.count = int(state["count"])
        self.states = [Beta(**values) for values in state["buckets"]]
